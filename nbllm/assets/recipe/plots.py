"""The sentences of stories: openings, habits, troubles, help, and how it all ends."""

from __future__ import annotations

Plot = tuple[tuple[str, ...], ...]
"""The variants of each of its sentences, in order."""

OPENINGS = (
    "Once upon a time, there was {atk} named {n}. {n} lived in {place}.",
    "Once upon a time, in {place}, there lived {atk} named {n}.",
    "Once upon a time there was {atk}. {His} name was {n} and {he} lived in {place}.",
    "Once, in {place}, lived {atk} called {n}.",
    "Long ago, in {place}, there was {ak} named {n}, who was very {t}.",
    "There was once {atk} called {n}. {n} had a home in {place}.",
    "In {place} lived {atk} named {n}.",
    "{n} was {atk} who lived in {place}.",
    "{n} the {k} lived in {place}. Everybody knew how {t} {he} was.",
    "This is the story of {n}, {atk} from {place}.",
    "Far away, in {place}, {atk} named {n} was [waking up|looking out of the window|having breakfast|counting the clouds].",
    "Many years ago, {atk} named {n} came to live in {place}.",
    "Nobody in {place} was as {t} as {n} the {k}.",
    "In the {adj} days of long ago, {atk} named {n} lived in {place}.",
    "[Do you know|Have you heard of|Let me tell you about] {n}, {atk}[?| from {place}?]",
    "When {n} the {k} [woke up|opened {his} eyes|looked outside] in {place}, it was a {adj} {day}.",
    "Between {spot} and {spot2} stood a {colour} house, and in it lived {atk} called {n}.",
    "{atk_up} named {n} had come to {place} with {m1} and {m2}.",
    "There are many {animals} in {place}, but only one {k} named {n}.",
)
HABITS = (
    "Every [day|morning|evening], {he} [walked to|went to|played near|sat by|ran to] {spot}[| and sang a song| and watched the clouds| and dreamed].",
    "{n} [loved|liked] [to sing|to read|to dance|to look at the stars|to tell jokes|to bake cakes|to collect stones|to climb trees|to paint] [more than anything|in the evening|near {spot}|all day long].",
    "{He} had {a_thing} that {he} [loved very much|took everywhere|kept under the bed|had found near {spot}].",
    "{He} had [everything {he} needed|a warm bed and enough to eat|many dreams|a big garden], but {he} [had no friend|wanted to see the world|was often bored|felt alone].",
    "{n} [was afraid of the dark|was afraid of deep water|did not like loud noises|could not sleep at night|had never left home].",
    "[Everyone said|People said|It was well known] that {n} was the [kindest|funniest|strangest|busiest|bravest] {k} [in the land|far and wide|they had ever met].",
    "",
)
LOST = (
    "{time}, {n} [could not find|lost] {his} {thing}. {He} looked [under the bed|behind the door|in every corner|in the kitchen], but it was [gone|not there|nowhere].",
    "{time}, [a strong wind|a big wave|a cheeky magpie|a sudden storm] [carried away|took] {his} {thing}. {n} [ran after it|began to cry|did not know what to do|was very upset].",
    "{time}, on the way to {spot}, {n} dropped {his} {thing}. When {he} came home, {he} [saw that it was gone|was very sad|searched {his} pockets twice].",
)
LOST_HELP = (
    'Near {spot2}, {he} met {aftk} named {f}. "[Why are you sad|What is wrong|What are you looking for|Can I help you]?" asked {f}. "[I have lost|I cannot find|Somebody took] my {thing}," said {n}.',
    "{He} asked for help at {spot2}, and {aftk} called {f} [came along|said yes at once|offered to search].",
    'Then {f}, {aftk}, [came by|heard the noise|looked over the fence]. "[Let us look together|I will help you|Four eyes see more than two|Do not worry]," {f_he} said.',
)
LOST_END = (
    "Together they looked [everywhere|for a long time|until the sun went down]. At last, {f} found the {thing} [under a bush|in the tall grass|behind a stone|high up in a tree|near {spot}]. {n} [laughed with joy|hugged {f}|danced in a circle|could hardly believe it].",
    '{f} [had a good nose|had sharp eyes|remembered something] and went straight to {spot}. There was the {thing}, [wet but whole|covered with leaves|as good as new]. "Thank you!" [cried|said|shouted] {n}.',
    "They never found the {thing}. But {f} gave {n} [half of a cake|a smile|a new one|something better: time], and [soon|after a while] {n} [was not sad any more|forgot to be sad|felt much better].",
)
FOUND = (
    "{time}, {n} found {a_thing} near {spot}. {He} [had never seen such a thing|wondered whose it was|turned it around and around|held it up to the light].",
    '{time}, {a_thing} [lay|was lying] [in front of the door|in the middle of the road|by the water]. "[What is this?|Whose is this?|How strange!]" [said|whispered|thought] {n}.',
)
FOUND_HELP = (
    '{He} showed the {thing} to {aftk} named {f}. "[That is mine|It belongs to me|I lost it last week|I have been looking for it]!" said {f}.',
    'At {spot2}, {aftk} called {f} was crying. "[I have lost|I cannot find|Somebody took] my {thing}," {f_he} [said|sobbed|explained].',
    "On the way to {spot2}, {he} met {f}, {aftk}, who [was looking for it|had lost just such a thing|knew what it was for].",
)
FOUND_END = (
    "{n} wanted to keep the {thing}, but {he} [thought for a moment|took a deep breath] and gave it back. {f} was so happy that {f_he} [invited {n} to supper|shared {f_his} cake with {n}|gave {n} a big hug].",
    '"Then you must have it," said {n}. {f} [smiled|jumped for joy|bowed], and from that day on [they shared the {thing}|they met every day at {spot}|{n} had a friend].',
    '{n} gave it back at once. "You are honest," said {f}. "[Come and play with me|Let us be friends|Stay for tea|I will show you a secret]."',
)
DANGER = (
    "{time}, {n} heard [a cry|a strange sound|somebody calling] near {spot}. {aftk_up} named {f} had fallen into [the water|a deep hole|a ditch|the mud].",
    "{time}, [a storm|a flood|a fire] came to {spot}. {n} saw that {aftk} named {f} [could not get away|was in danger|was shaking with fear].",
    "{time}, {aftk} called {f} [climbed too high near|got lost near|hurt {f_his} foot at] {spot} and [called for help|began to cry|did not dare to move].",
)
DANGER_ACT = (
    '{n} was [afraid|small|all alone], but {he} [did not run away|took a long rope|ran as fast as {he} could|thought quickly]. "[Hold on|Do not be afraid|I am coming|Give me your hand]!" {he} [called|shouted].',
    "Nobody else was near. {n} [closed {his} eyes, counted to three|took a deep breath|put down {his} bag] and [went to help|jumped|began to climb].",
)
DANGER_END = (
    '[Slowly|Step by step|With all {his} strength|After a long time], {n} brought {f} to safety. "You [saved me|are a hero|are so brave]," said {f}.',
    "In the end, they were both [safe and dry|home again|sitting by a warm fire]. {f} [gave {n} {a_thing}|thanked {n} again and again|made hot cocoa for two].",
)
QUARREL = (
    "{n} had a friend, {aftk} named {f}. {time}, they both wanted [the last piece of cake|the seat by the window|to be first|to play with the {thing}], and they [shouted|quarrelled|did not speak for a whole day].",
    "{n} and {f}, {aftk}, were [best friends|neighbours|always together]. But one {day}, {f} broke {his} {thing}, and {n} [was very angry|said an unkind word|ran away to {spot}].",
)
QUARREL_END = (
    'At night, {n} could not sleep. In the morning {he} went to {spot2}, where {f} was [sitting alone|waiting|looking at the water]. "I am sorry," [they both said|said {n}|said {f}]. [They laughed|They shook hands|They shared an apple].',
    '{n} [thought about it|missed {f}|felt alone]. So {he} baked [a cake|some bread|a pie] and took it to {f}. "Friends again?" {he} asked. "Friends," said {f}.',
    "Then [it began to rain|the lights went out|a loud thunder rolled], and {f} [took {n} by the hand|shared {f_his} umbrella|made room by the fire]. After that, the quarrel [seemed very small|was forgotten|was over].",
)
WISH = (
    "{n} had one big wish: {he} wanted to [fly|see the sea|learn to swim|play the flute|read a book|touch a star|win the great race|bake the best bread]. {time}, {he} [made a plan|packed a bag|began to practise].",
    "{time}, {n} decided to [build a boat|plant a tree|cross the mountains|paint the whole house|write a song|find the end of the rainbow].",
)
WISH_HELP = (
    'At first it was [too hard|very difficult|a disaster]. {He} tried once, {he} tried twice, and [fell down|gave up|everything went wrong]. {aftk_up} named {f} was watching. "[Try it like this|May I show you|You only need practice|Let me help]," {f_he} said.',
    '{n} asked {f}, {aftk}, for advice. "[Begin small|Do a little every day|Do not hurry|Believe in yourself]," said {f}.',
)
WISH_END = (
    "{n} practised every day, [in sun and rain|all summer|for many weeks]. And {then}, it worked! {n} [could not stop smiling|thanked {f}|shouted with joy|danced around {spot}].",
    'It took [a long time|a whole year|three tries more], but in the end {n} did it. "[Well done|I knew it|Look at you]!" [cried|said] {f}, [clapping|laughing|full of pride].',
)
VISITOR = (
    "{time}, somebody knocked at the door. It was {aftk} named {f}, [cold and wet|tired from a long journey|with a heavy bag].",
    "{time}, {aftk} called {f} came to live next door. [Nobody talked to {f}|Everybody was a little afraid of {f}|{f} did not know anyone].",
)
VISITOR_END = (
    "{n} [opened the door wide|put the kettle on|set another plate on the table] and they ate [soup|bread and cheese|pancakes|apple pie] together. {f} told [a story about {spot}|of far countries|funny stories] until [late|the stars came out|the fire went out].",
    '"[Come in|Welcome|Sit down with me|You can stay here]," said {n}. The next day {f} repaired the [roof|window|fence|clock] to say thank you, and [they stayed friends|they were never alone again|{n} was glad].',
)
GIFT = (
    "It was nearly the birthday of {f}, {aftk} who lived next to {spot}. {n} wanted to give {f} {a_thing}, but {he} [had only {num} coins|did not know where to find one|had lost {his} purse].",
    '{n} was invited to a party at {spot} by {aftk} named {f}. "What shall I bring?" {he} [wondered|asked {himself}|thought all {day}].',
)
GIFT_END = (
    'So {n} [made one with {his} own hands|wrote a poem about {spot2}|painted a picture of {m1} and {m2}|made some {food}]. {f} [looked at it for a long time|was moved|laughed] and said: "[This is the best gift of all|Nobody ever gave me such a thing|I will keep it for ever]."',
    "In the end {he} brought {m1}, {m2} and a {adj} song. {f} [clapped {f_his} hands|invited all the {animals}|sang along], and they [danced|laughed|ate {food}] until [midnight|{num} o'clock|the candles went out].",
)
ASTRAY = (
    "{time}, {n} went to look for {m1} and [lost the way|took a wrong turn|walked too far]. Soon {he} saw only {animals} and {adj} trees.",
    "{time}, {n} [followed a {adj} path|ran after {an_animal}|wanted to see where the {adj} road goes]. When it grew dark near {spot}, {he} did not know the way back.",
)
ASTRAY_END = (
    'Then a {adj} light came nearer. It was {aftk} called {f}. "[Come with me|I know every path here|You must be cold]," said {f}, and gave {him} {food} and {m2}.',
    '{aftk_up} named {f} was sitting on a {adj} stone. "Home is that way, past {num} {animals}," {f_he} [said|laughed|explained] and [showed {him} the way|walked along|drew a map].',
)
RACE = (
    "{time}, there was a [race|contest|feast] near {spot}, and the prize was {a_thing}. {n} wanted to win, and so did {f}, {aftk}.",
    '{time}, {aftk} named {f} said: "I can [run|swim|sing|jump] better than you!" "We shall see," said {n}. They met at {spot} [at noon|the next morning|before {num} {animals}].',
)
RACE_END = (
    "{f} was [faster|stronger|louder], but then {f_he} [fell over {m1}|got a stone in {f_his} shoe|stopped to eat {food}]. {n} [turned back and helped|waited|gave {f_him} a hand], and they came in together. Everybody [cheered|clapped|shared the prize].",
    "In the end, {n} won by {num} steps. {f} was [sad|cross|silent], so {n} [cut the prize in two|gave {f_him} {m2}|asked {f_him} to supper].",
    "They were still [running|trying|at it] when it began to rain. So they [hid under a {adj} tree|shared {food}|gave up] and [talked about {m1}|counted {animals}|laughed about it].",
)
DETAILS = (
    "{He} packed {m1}, {m2} and {m3}.",
    "On the way {he} saw {num} {animals} and {an_animal}.",
    "{n} wore a {colour} hat and {colour2} shoes.",
    "There was a smell of {food} and {food2} in the air.",
    "The {adj} path went past {m1} and {m2}.",
    "In {his} pocket {he} had {m1}.",
    "Above {spot} flew {num} {colour} birds.",
    "For breakfast there was {food} with {food2}.",
    "{His} house was {adj} and had {num} windows and a {colour} door.",
    "The {animals} were already {doing}.",
    "{num_up} {animals} were {doing} near {spot}.",
    "{n} had {num} {colour} buttons on {his} coat.",
    "It was a {adj} {day}, and somebody was {doing} by {spot}.",
    "A {colour} cloud looked like {an_animal}.",
    "{He} [could hear|heard|listened to] {animals} {doing}.",
    "Far off, {an_animal} was {doing}.",
)
ENDINGS = (
    "From that day on, {n} and {f} were [best friends|good friends|always together].",
    "And they lived happily [ever after|for many years|in {place}].",
    "That night, {n} [slept very well|dreamed of {spot}|smiled in {his} sleep].",
    "{n} went home [happy|with a warm heart|singing], and {f} waved until {he} was out of sight.",
    "And so {n} learned that {lesson}.",
    "{n} never forgot that {lesson}.",
    '"Now I know that {lesson}," said {n}.',
    "[If you go to|When you pass|Near|At] {spot}[ today|], [you may|you can|one may] still see {n} and {f} {doing}.",
    "{f} and {n} [went home|sat down|stayed there], ate {food} and [talked about|thought of|laughed about] {m3}.",
    "Ever since, there is {food} for two in the {adj} house of {n}.",
    "[And|Since then] every {day} {n} and {f} go to {spot2} with {m2}.",
    "When the {colour} moon came up, they were still {doing}.",
    "{n} [smiled|laughed|sighed]. It had been a {adj} {day}.",
    "The end.",
    "",
    "",
)
PLOTS: tuple[Plot, ...] = (
    (LOST, LOST_HELP, LOST_END),
    (FOUND, FOUND_HELP, FOUND_END),
    (DANGER, DANGER_ACT, DANGER_END),
    (QUARREL, QUARREL_END),
    (WISH, WISH_HELP, WISH_END),
    (VISITOR, VISITOR_END),
    (GIFT, GIFT_END),
    (ASTRAY, ASTRAY_END),
    (RACE, RACE_END),
)
