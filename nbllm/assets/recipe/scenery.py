"""What stories are made of: who, where, what, and how it is told."""

from __future__ import annotations

from .grammar import words

CREATURES = words("""fox rabbit bear mouse cat dog duck frog owl hedgehog squirrel horse pony lamb goat pig hen wolf
    lion tiger monkey elephant giraffe penguin turtle dolphin whale crab bee ant butterfly spider
    snail badger deer donkey parrot swan goose kitten puppy camel zebra kangaroo panda crow dinosaur
    otter mole bat seal hamster""")
PEOPLE = words("""girl boy princess prince king queen baker farmer sailor painter teacher gardener fisherman
    shepherd knight pirate wizard witch musician carpenter doctor astronaut explorer clown tailor
    cook captain soldier scientist child""")
WONDERS = words("dragon robot giant fairy ghost unicorn elf mermaid snowman troll goblin")
KINDS = CREATURES + PEOPLE + WONDERS
FEMALE = {"girl", "princess", "queen", "witch", "fairy", "mermaid", "hen"}
MALE = {"boy", "prince", "king", "wizard", "knight", "fisherman"}

TRAITS = words("""little young old brave shy clever curious kind lonely cheerful lazy proud gentle quiet funny
    busy careful hungry sleepy stubborn tiny merry honest patient clumsy""")
PLACES = (
    "a small village", "a quiet village by the sea", "a dark forest", "a green valley", "a big city",
    "an old castle", "a house on a hill", "a farm near the river", "a lighthouse by the sea",
    "a cottage in the woods", "a town full of bridges", "the mountains", "a tiny island", "a sunny meadow",
    "a busy harbour", "a land of ice and snow", "a hot desert", "a garden full of roses",
    "a tower of grey stone", "a wooden boat on the lake", "a street with tall trees", "a cave behind a waterfall",
)  # fmt: skip
SPOTS = (
    "the river", "the forest", "the old mill", "the market", "the beach", "the hill", "the lake",
    "the bridge", "the well", "the big oak tree", "the harbour", "the meadow", "the cave",
    "the castle gate", "the orchard", "the school", "the library", "the station", "the waterfall",
    "the windmill", "the garden wall", "the church", "the pond", "the top of the mountain",
)  # fmt: skip
THINGS = (
    "a red balloon", "a golden key", "a silver bell", "a blue kite", "a wooden flute", "a round stone",
    "an old map", "a tin drum", "a paper boat", "a glass ball", "a warm scarf", "a shiny coin",
    "a small lamp", "a green umbrella", "a picture book", "a music box", "a straw hat", "a pocket watch",
    "a bag of seeds", "a long rope", "a little bell", "a yellow ribbon", "a jar of honey", "a clay cup",
    "a feather", "a white shell", "a toy train", "a magic lantern", "a broken clock", "a leather bag",
    "a box of paints", "a loaf of bread", "a basket of apples", "a wool blanket", "a brass compass",
)  # fmt: skip
WEATHER = (
    "The sun was shining", "It was raining", "A cold wind was blowing", "Snow was falling", "The sky was clear",
    "Fog lay over the fields", "The air smelled of flowers", "Clouds hung low", "It was very hot",
    "The leaves were turning yellow", "The moon was full", "Birds were singing",
)  # fmt: skip
TIMES = (
    "One day", "One morning", "One evening", "One summer day", "One cold night", "On a rainy Monday",
    "Early one morning", "Late one afternoon", "One Sunday", "On the first day of spring", "One winter evening",
    "In the middle of the night", "Just before breakfast", "One windy day", "On a quiet afternoon",
)  # fmt: skip
LESSONS = (
    "a good friend is worth more than gold", "it is never too late to say sorry", "even small hands can help",
    "being different is not being worse", "a little courage goes a long way", "sharing makes everything taste better",
    "it is wise to listen first", "those who help are helped in the end", "asking is better than guessing",
    "patience opens many doors", "home is where somebody waits for you", "the truth is the shortest way",
    "one kind word can change a day", "you need not be big to be brave", "every mistake teaches something",
    "two heads are better than one", "the best gifts cost nothing", "it is good to try again",
)  # fmt: skip
COMPOSED_TIME = (
    "[One|On a] [sunny|rainy|cold|warm|windy|quiet|grey|bright|misty|snowy|golden|busy] "
    "[morning|afternoon|evening|day|night|Monday|Sunday|Friday][ in spring| in May| in autumn| in winter| in June|]"
)
SMALL_THINGS = (
    "a spoon", "a candle", "two apples", "a blue cup", "some bread", "a map", "a needle", "an old book",
    "three nuts", "a rope", "a pencil", "a pair of socks", "a piece of cheese", "a mirror", "a bucket",
    "a wooden box", "a bag of flour", "a green bottle", "a comb", "a drum", "an umbrella", "a basket",
    "some string", "a jar of jam", "a feather", "a brush", "a hammer", "a lemon", "a pillow", "a letter",
    "a clock", "a kettle", "a red scarf", "an egg", "a whistle", "some matches", "a pot of soup",
    "a pumpkin", "a fan", "a ladder", "a blanket", "a shell", "a ribbon", "a pebble", "a lantern",
)  # fmt: skip
DISHES = (
    "honey", "cheese", "bread", "rice", "fish", "butter", "chocolate", "soup", "cake", "jam", "porridge",
    "salad", "pudding", "toast", "pasta", "cream", "cabbage", "pumpkin", "plum jam", "apple sauce",
    "cherry cake", "hot milk", "onion soup", "fried potato",
)  # fmt: skip
QUALITIES = words(
    """dark quiet golden long strange narrow cold lovely silver dusty green lonely sunny deep crooked
    soft white wide empty bright muddy stony secret steep broken windy pale gentle wet proud wild"""
)
DOINGS = (
    "singing", "sleeping", "building a nest", "dancing in the rain", "looking for food", "playing cards",
    "washing the windows", "counting stones", "reading aloud", "drinking tea", "painting a fence",
    "picking berries", "catching flies", "telling jokes", "baking bread", "sitting in the sun", "laughing",
    "flying a kite", "playing the flute", "digging a hole", "watching the stars", "sweeping the floor",
    "planting trees", "fishing", "whistling", "writing a letter", "mending a net", "throwing snowballs",
)  # fmt: skip
