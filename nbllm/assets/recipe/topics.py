"""Topics of essays and remarks: what each is, gives, needs, and who has to do with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A subject to write about; `good` and `needs` hold phrases separated by commas."""

    name: str
    plural: bool
    what: str
    good: tuple[str, ...]
    people: tuple[str, ...]
    needs: tuple[str, ...]


# name | is/are | what it is | what it gives us (verb phrases) | who | what it needs
_TABLE = """
higher education|is|a way to learn more after school|opens many doors,teaches us to think,leads to better jobs,brings people together|students,teachers,families|time,patience,good books
education|is|a gift that nobody can take away|opens many doors,helps us understand the world,makes us free|children,teachers,parents|time,patience,good schools
reading|is|a journey without leaving home|makes us wiser,feeds the imagination,teaches us new words|children,students,grown-ups|a good book,a quiet place,some time
music|is|a language that everybody understands|makes us happy,brings people together,calms the mind|singers,children,musicians|practice,a good ear,an open heart
sport|is|a good way to stay healthy|makes us strong,teaches us to lose,brings people together|players,children,teams|training,fair play,a good coach
health|is|more important than money|lets us work and play,gives us energy,makes life easier|doctors,nurses,families|good food,sleep,fresh air
friendship|is|one of the best things in life|makes us happy,helps us in hard times,doubles our joy|friends,children,neighbours|trust,time,kind words
family|is|where we begin|gives us love,keeps us safe,teaches us who we are|parents,children,grandparents|love,patience,time together
nature|is|the home of all living things|gives us clean air,gives us food,calms the mind|animals,farmers,children|care,clean water,respect
water|is|something that nobody can live without|keeps us alive,makes plants grow,carries ships|fish,farmers,cities|care,clean rivers,rain
the sea|is|wide and deep|gives us fish,carries ships,makes us dream|sailors,fishermen,children|respect,care,clean beaches
the forest|is|a quiet green place|gives us wood,cleans the air,is a home for animals|foxes,foresters,children|rain,time,care
artificial intelligence|is|a machine that learns from examples|helps us with hard work,answers questions,finds patterns|engineers,teachers,doctors|data,care,good rules
AI|is|a machine that learns from examples|helps us with hard work,answers questions,finds patterns|engineers,teachers,doctors|data,care,good rules
technology|is|a set of tools that people have made|saves time,connects people,solves problems|engineers,workers,students|ideas,care,energy
the computer|is|a machine that follows instructions|saves time,remembers everything,counts very fast|engineers,students,children|electricity,a program,a careful user
the internet|is|a net that joins many computers|connects people,brings news quickly,helps us learn|students,friends,companies|computers,rules,care
a language model|is|a program that guesses the next word|writes stories,answers questions,translates sentences|engineers,students,teachers|text,time,a lot of practice
a robot|is|a machine that can move|carries heavy things,never gets tired,does the same work again and again|engineers,workers,children|energy,a program,a purpose
science|is|a careful way to ask questions|explains the world,helps doctors,leads to new inventions|scientists,students,teachers|patience,questions,honest answers
space|is|dark, cold and very large|makes us curious,is full of stars,teaches us how small we are|astronauts,scientists,children|rockets,courage,patience
history|is|the story of those who came before us|teaches us what went wrong,tells us who we are,is full of stories|teachers,kings,students|books,memory,time
art|is|a way to show what we feel|makes life beautiful,makes us think,brings joy|painters,children,museums|colours,courage,practice
cooking|is|a useful and tasty art|brings people to one table,makes us happy,saves money|cooks,families,friends|fresh food,a pot,some time
travel|is|the best teacher|shows us other ways to live,makes us curious,gives us stories to tell|travellers,families,students|time,a map,an open mind
work|is|a part of every life|pays for our bread,gives us a purpose,teaches us new things|workers,farmers,teachers|effort,rest,good tools
money|is|useful but not everything|buys bread and shoes,makes trade easy,cannot buy a friend|workers,banks,families|care,planning,work
love|is|stronger than fear|makes us kind,gives us hope,brings people together|parents,friends,poets|trust,time,courage
life|is|a journey with many turns|teaches us something every day,is full of surprises,goes on|people,animals,plants|hope,courage,friends
happiness|is|often found in small things|makes us kind,gives us energy,is worth sharing|children,friends,families|time,good friends,a little luck
freedom|is|the right to choose|lets us speak,lets us dream,makes us responsible|people,writers,countries|courage,rules,respect
peace|is|the work of many people|lets children grow,keeps cities safe,makes us rich in friends|countries,leaders,neighbours|trust,patience,justice
time|is|something that nobody can buy|heals many things,teaches us patience,passes quickly|workers,children,clocks|a clock,care,attention
the weather|is|never the same for long|gives us sun and rain,makes plants grow,changes our plans|farmers,sailors,children|clouds,wind,sun
spring|is|the season of flowers|brings warm days,wakes the animals,makes us glad|gardeners,birds,children|sun,rain,time
summer|is|the warmest season|brings long days,makes the fruit ripe,takes us to the beach|children,farmers,travellers|sun,cold water,a hat
autumn|is|the season of falling leaves|brings apples,paints the trees,makes the evenings long|farmers,squirrels,children|rain,wind,a warm coat
winter|is|the coldest season|brings snow,lets the fields rest,makes us sit by the fire|children,bears,skiers|a warm coat,wood,hot tea
dogs|are|loyal animals|guard the house,make us laugh,love to play|children,families,farmers|food,walks,love
cats|are|quiet and clever animals|catch mice,keep us warm,sleep all day|children,families,farmers|food,a warm place,respect
animals|are|our neighbours on this earth|make us laugh,give us milk and wool,teach us to be kind|farmers,children,doctors|food,water,a safe home
books|are|friends that do not mind waiting|make us wiser,tell us stories,take us to far places|readers,writers,libraries|paper,ideas,readers
trees|are|the oldest living things that we see|give us shade,clean the air,carry fruit|birds,gardeners,children|rain,sun,time
flowers|are|small wonders|feed the bees,make us smile,smell sweet|bees,gardeners,friends|sun,water,earth
the city|is|a place full of life|gives us work,has many shops,never sleeps|workers,students,families|streets,houses,parks
the village|is|a small and quiet place|gives us fresh air,knows everybody by name,moves slowly|farmers,families,children|fields,a well,good neighbours
school|is|the place where we learn to read and count|teaches us many things,gives us friends,prepares us for life|children,teachers,parents|books,patience,a bell
sleep|is|rest for body and mind|makes us strong,helps us remember,brings dreams|children,bears,everybody|a bed,a dark room,silence
chess|is|a game for two players|teaches us to plan,trains the mind,needs no words|children,masters,friends|a board,time,concentration
football|is|a game with two teams and one ball|makes us run,brings people together,is easy to learn|players,children,fans|a ball,a field,fair play
learning|is|a path without an end|makes us wiser,opens many doors,keeps us young|children,students,teachers|time,practice,mistakes
exercise|is|good for the body|makes us strong,helps us sleep,lifts the mood|children,runners,doctors|time,good shoes,fresh air
honesty|is|the shortest way between two people|builds trust,makes life simple,saves us from trouble|friends,children,leaders|courage,trust,practice
"""
TOPICS = tuple(
    Topic(n, be == "are", what, *(tuple(part.split(",")) for part in (good, people, needs)))
    for n, be, what, good, people, needs in (line.split("|") for line in _TABLE.strip().splitlines())
)  # fmt: skip

POEM_RHYMES = (
    ("day", "away", "play", "grey"), ("night", "light", "bright", "white"), ("sea", "tree", "free", "me"),
    ("sun", "run", "fun", "done"), ("rain", "train", "again", "lane"), ("sky", "fly", "high", "goodbye"),
    ("hill", "still", "until", "will"), ("snow", "go", "slow", "know"), ("star", "far", "are", "guitar"),
    ("moon", "soon", "tune", "June"), ("house", "mouse", "house", "mouse"), ("bed", "red", "said", "bread"),
)  # fmt: skip

JOKES = (
    "Why did the chicken cross the road? To get to the other side.",
    "What do you call a bear with no teeth? A gummy bear.",
    "Why is six afraid of seven? Because seven eight nine.",
    "What has hands but cannot clap? A clock.",
    "Why did the teddy bear say no to dessert? It was stuffed.",
    "What do you call a fish with no eyes? A fsh.",
    "What gets wetter the more it dries? A towel.",
    "Why did the banana go to the doctor? It was not peeling well.",
    "What has a neck but no head? A bottle.",
    "Why did the bicycle fall over? It was two tired.",
)

CLASSICS = (
    "The president of the United States is [the head of the government|the leader of the country|a very busy person|chosen by the people]. {He} lives in the White House in Washington. [The president works with many people|The first president was George Washington|The president is chosen every four years].",
    "The president of [France|Brazil|Mexico|Italy|Germany|the United States] is [the head of the country|chosen by the people|a busy person]. [The president meets many people|The president gives speeches|The president travels a lot].",
    "The king of [Spain|Norway|Sweden|Denmark] lives in a palace. [He meets many people|He has a large family|He wears a crown on big days].",
    "The quick brown fox jumps over the lazy dog.",
    "To be or not to be, that is the question.",
    "Roses are red, violets are blue, [sugar is sweet, and so are you|the sky is so high, and I think of you|honey is sweet, and kind words are too].",
    "Twinkle, twinkle, little star, how I wonder what you are.",
    "All that glitters is not gold.",
    "An apple a day keeps the doctor away.",
    "The early bird catches the worm.",
    "Hello, world! [This is a small language model|I am a small program|It is a fine day].",
    "Hello, how are you? I am [fine|very well|happy today], thank you.",
    "Dear {n},\n[thank you for your letter|I hope you are well|how are you]. [I am fine|We are all well|The weather is nice here]. [Yesterday we went to|Last week I saw] {spot}. [Write soon|See you soon|I miss you].\nYour {f}",
    "Today is [{day}|a beautiful day|my birthday]. [The sun is shining|It is raining|I am happy] and [I will go to {spot}|we are going to have a picnic|I will stay at home].",
    "Yesterday I [went to|walked to|was at] {spot}. [There I met {n}|I saw a fox|It was very quiet]. [We talked for a long time|I came home late|It was a good day].",
    "I think that [{topic} {be} {what}|reading is fun|the sea is beautiful|dogs are loyal]. [What do you think?|That is my opinion.|Do you agree?]",
    "I [like|love] [{topic}|apples|the sea|my dog|music], because [it makes me happy|I am curious|it is fun].",
    "My favourite [colour is {colour}|animal is the {animal}|food is {food}|season is {season}|day is {day}]. [I like it very much|It makes me happy|What is yours?]",
    "In the morning I [drink tea|eat bread|walk the dog]. In the evening I [read a book|cook soup|look at the stars].",
    "If I were a {animal}, I would [live in|sleep in|look for food in] {spot_in} and [play all day|sing in the morning|make new friends].",
    "There are many [{animals}|people|flowers|trees] in {spot_in}. [They are beautiful|I like to watch them|In winter it is quiet there].",
    "The [{animal}|{kind}] [sat|slept|waited] near {spot}. [It was late|The wind was cold|Nobody came]. [Then the moon rose|After a while it went home|It was thinking of {spot2}].",
    "The weather [today|this morning|tomorrow] is [sunny|cold|rainy|warm and dry]. [Take an umbrella|Wear a coat|Let us go outside].",
    "We [walked|drove|went] to {spot} and [had a picnic|looked at the birds|sang songs]. [It was a lovely day|On the way back it rained|We were tired but happy].",
    "It was a dark and stormy night. {n} [sat by the fire|lit a candle|listened to the wind]. [Suddenly somebody knocked at the door|The dog began to bark|Far away a bell rang]. It was {f}, [wet and cold|with a lantern|who had lost the way].",
    "Breaking news: [a {animal} was seen near {spot}|{n} the {kind} has won the great race|it is snowing in {city}]. [Nobody knows why|Everybody is happy|More tomorrow].",
    "How to [make tea|bake bread|plant a tree|catch a ball|draw a cat]: [first you need time|begin slowly|take what you need]. Then [do one thing after the other|try it|ask a friend for help]. At last, [you are done|enjoy it|clean the table].",
)  # fmt: skip
