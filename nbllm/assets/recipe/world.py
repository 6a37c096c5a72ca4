"""The closed world: names, animals, things, time, opposites, plurals and simple physics."""

from __future__ import annotations

from random import Random

from .documents import is_held_out
from .grammar import pick, words

GIRLS = words("""Anna Lily Mia Sara Emma Lucy Rosa Nina Clara Ella Zoe Alice Julia Maya Eva Grace Ruby Ivy
    Hana Leila Nora Sofia Amy Kate Jane Mary Olga Vera Iris Flora Daisy Molly Penny Tina Wendy
    Yuki Amina Carla Diana Elsa Fatima Greta Helen Ines Jill Laura Marta Paula Rita Susan Tara
    Linda Sally Betty Chloe Dora Olivia Sophie Emily Hannah""")
BOYS = words("""Tom Max Ben Leo Sam Jack Noah Paul Hugo Omar Adam Luke Felix Oscar Finn Theo Karl Ivan
    Peter Simon David Mark Daniel Toby Henry George Arthur Bruno Carlos Diego Emil Frank Gino
    Hans Igor Jonas Kofi Liam Marco Nick Otto Pedro Raj Ravi Stefan Tim Victor Walter Yusuf
    Alex Bob John James Mike Chris Jim Fred Bill Eric Martin""")
NAMES = GIRLS + BOYS
PRONOUNS = dict.fromkeys(GIRLS, ("she", "her", "her")) | dict.fromkeys(BOYS, ("he", "him", "his"))

COLOURS = (
    "red",
    "blue",
    "green",
    "yellow",
    "orange",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
)

# animal: sound it makes, legs, class, home, young, food
_ANIMALS = """
dog|bark|4|mammal|kennel|puppy|meat
cat|meow|4|mammal|house|kitten|fish
cow|moo|4|mammal|barn|calf|grass
horse|neigh|4|mammal|stable|foal|hay
sheep|bleat|4|mammal|meadow|lamb|grass
pig|oink|4|mammal|sty|piglet|corn
duck|quack|2|bird|pond|duckling|weeds
hen|cluck|2|bird|coop|chick|grain
lion|roar|4|mammal|savanna|cub|meat
tiger|roar|4|mammal|jungle|cub|meat
wolf|howl|4|mammal|forest|pup|meat
bear|growl|4|mammal|forest|cub|honey
fox|yelp|4|mammal|den|kit|mice
mouse|squeak|4|mammal|hole|pup|cheese
frog|croak|4|amphibian|pond|tadpole|insects
owl|hoot|2|bird|forest|owlet|mice
snake|hiss|0|reptile|grass|snakelet|mice
bee|buzz|6|insect|hive|larva|nectar
goat|bleat|4|mammal|mountain|kid|leaves
donkey|bray|4|mammal|stable|foal|hay
elephant|trumpet|4|mammal|savanna|calf|leaves
crow|caw|2|bird|nest|chick|seeds
pigeon|coo|2|bird|city|squab|seeds
goose|honk|2|bird|pond|gosling|grass
turkey|gobble|2|bird|farm|poult|seeds
monkey|chatter|2|mammal|jungle|infant|bananas
rabbit|squeak|4|mammal|burrow|kit|carrots
spider|make no sound|8|arachnid|web|spiderling|flies
ant|make no sound|6|insect|anthill|larva|leaves
fish|make no sound|0|fish|water|fry|weeds
whale|sing|0|mammal|ocean|calf|krill
dolphin|click|0|mammal|ocean|calf|fish
penguin|honk|2|bird|Antarctica|chick|fish
kangaroo|click|2|mammal|Australia|joey|grass
giraffe|hum|4|mammal|savanna|calf|leaves
camel|grunt|4|mammal|desert|calf|plants
zebra|bray|4|mammal|savanna|foal|grass
eagle|screech|2|bird|mountain|eaglet|fish
parrot|talk|2|bird|jungle|chick|seeds
turtle|hiss|4|reptile|sea|hatchling|weeds
crocodile|growl|4|reptile|river|hatchling|meat
butterfly|make no sound|6|insect|garden|caterpillar|nectar
deer|bellow|4|mammal|forest|fawn|grass
swan|hiss|2|bird|lake|cygnet|weeds
shark|make no sound|0|fish|ocean|pup|fish
octopus|make no sound|0|mollusc|ocean|larva|crabs
panda|bleat|4|mammal|China|cub|bamboo
squirrel|chatter|4|mammal|tree|kit|nuts
hedgehog|snuffle|4|mammal|garden|hoglet|insects
fly|buzz|6|insect|kitchen|maggot|sugar
"""
_ROWS = [line.split("|") for line in _ANIMALS.strip().splitlines()]
ANIMALS = tuple(row[0] for row in _ROWS)
SOUND = {r[0]: r[1] for r in _ROWS}
LEGS = {r[0]: {"0": "no", "2": "two", "4": "four", "6": "six", "8": "eight"}[r[2]] for r in _ROWS}
CLASS = {r[0]: r[3] for r in _ROWS}
HOME = {r[0]: r[4] for r in _ROWS}
YOUNG = {r[0]: r[5] for r in _ROWS}
FOOD = {r[0]: r[6] for r in _ROWS}
PLURAL_ANIMALS = {a: a + "s" for a in ANIMALS} | {
    "wolf": "wolves", "mouse": "mice", "goose": "geese", "sheep": "sheep", "fish": "fish",
    "deer": "deer", "fox": "foxes", "butterfly": "butterflies", "octopus": "octopuses",
    "donkey": "donkeys", "fly": "flies", "turkey": "turkeys", "monkey": "monkeys",
}  # fmt: skip

COLOUR_OF = {
    "the sky": "blue", "grass": "green", "snow": "white", "blood": "red", "a banana": "yellow",
    "coal": "black", "an orange": "orange", "a strawberry": "red", "milk": "white",
    "chocolate": "brown", "a lemon": "yellow", "the sun": "yellow", "a leaf": "green",
    "an elephant": "grey", "a crow": "black", "a carrot": "orange", "a tomato": "red",
    "the sea": "blue", "a flamingo": "pink", "a frog": "green", "a polar bear": "white",
    "an aubergine": "purple", "a cucumber": "green", "a pumpkin": "orange", "gold": "yellow",
    "silver": "grey", "the night": "black", "a cherry": "red", "a swan": "white", "a pig": "pink",
    "fire": "red", "the ocean": "blue", "a cloud": "white", "sand": "yellow", "a fire engine": "red",
    "coffee": "brown", "a grape": "purple", "a plum": "purple", "a bear": "brown", "salt": "white",
    "sugar": "white", "an emerald": "green", "a ruby": "red", "a sapphire": "blue", "ash": "grey",
}  # fmt: skip

MONTHS = words(
    "January February March April May June July August September October November December"
)
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
DAYS_IN_MONTH = dict(zip(MONTHS, (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
SEASON = dict(
    zip(
        MONTHS,
        ("winter",) * 2 + ("spring",) * 3 + ("summer",) * 3 + ("autumn",) * 3 + ("winter",),
        strict=True,
    )
)
ORDINALS = words(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
)
NUMBERS = words("""zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty""")

_OPPOSITES = """hot cold, big small, tall short, fast slow, happy sad, old young, light dark,
up down, open closed, full empty, rich poor, hard soft, wet dry, clean dirty, loud quiet,
early late, strong weak, thick thin, wide narrow, high low, good bad, right wrong, true false,
left right, in out, day night, black white, yes no, near far, new old, easy difficult,
heavy light, deep shallow, sharp blunt, sweet sour, smooth rough, brave cowardly,
friend enemy, love hate, win lose, buy sell, give take, push pull, begin end, start finish,
laugh cry, alive dead, first last, always never, more less, before after, above below,
inside outside, beautiful ugly, expensive cheap, safe dangerous, awake asleep, noisy silent,
polite rude, simple complicated, summer winter, north south, east west, war peace, king queen,
boy girl, man woman, father mother, brother sister, question answer, success failure, kind cruel,
generous selfish, lazy hardworking, clever stupid, interesting boring, modern ancient,
possible impossible, lucky unlucky, remember forget, arrive leave, come go, sink float,
increase decrease, arrival departure, top bottom, front back, tight loose, calm nervous,
single married, public private, sunrise sunset, bright dim, cool warm, absent present,
guilty innocent, victory defeat, entrance exit, whisper shout, build destroy, accept refuse"""
OPPOSITE: dict[str, str] = {}
for _pair in _OPPOSITES.replace("\n", " ").split(","):
    _one, _other = _pair.split()
    OPPOSITE.setdefault(_one, _other)
    OPPOSITE.setdefault(_other, _one)

_IRREGULAR = """child children, foot feet, tooth teeth, man men, woman women, mouse mice,
goose geese, ox oxen, person people, sheep sheep, fish fish, deer deer, leaf leaves, knife knives,
wolf wolves, half halves, life lives, loaf loaves, shelf shelves, thief thieves, wife wives,
calf calves, baby babies, city cities, country countries, family families, lady ladies, story stories,
party parties, cherry cherries, puppy puppies, fly flies, butterfly butterflies, box boxes,
fox foxes, bus buses, glass glasses, dish dishes, brush brushes, watch watches, church churches,
class classes, dress dresses, match matches, peach peaches, potato potatoes, tomato tomatoes,
hero heroes, cactus cacti, die dice, louse lice, strawberry strawberries, berry berries"""
_REGULAR = """cat dog book table chair house tree flower car apple bird cow horse school friend
teacher door window river mountain star king queen ship train shoe hat cup plate spoon fork bottle
garden road bridge cloud phone lamp pencil letter game song picture day night month year hour
boy girl key ring boat duck frog egg banana orange carrot lemon onion bed room wall roof"""
PLURAL = {w: w + "s" for w in _REGULAR.split()} | {
    p.split()[0]: p.split()[1] for p in _IRREGULAR.replace("\n", " ").split(",")
}

CATEGORIES = {
    "fruits": words("apple banana orange pear plum cherry lemon grape peach melon strawberry kiwi"),
    "vegetables": words("carrot potato onion pea bean cabbage spinach leek pumpkin cucumber"),
    "animals": list(ANIMALS[:36]),
    "birds": words("eagle owl duck crow swan penguin parrot pigeon robin sparrow"),
    "insects": words("ant bee fly butterfly beetle mosquito wasp moth"),
    "colours": list(COLOURS),
    "countries": words("France Italy Spain Germany Japan China Brazil Canada Egypt Kenya India Peru"),
    "cities": words("Paris Rome Madrid Berlin Tokyo London Cairo Vienna Athens Lisbon Oslo Lima"),
    "months": list(MONTHS),
    "days": list(DAYS),
    "planets": words("Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune"),
    "tools": words("hammer saw screwdriver knife drill spade axe rake"),
    "drinks": words("water milk tea coffee juice lemonade cocoa"),
    "clothes": words("hat coat shirt shoe sock scarf glove dress skirt jacket"),
    "sports": words("football tennis swimming running basketball cycling skiing boxing"),
    "instruments": words("piano guitar violin drum flute trumpet harp cello"),
    "vehicles": words("car bus train bicycle boat plane truck tram"),
    "jobs": words("teacher doctor baker farmer painter pilot nurse cook sailor singer"),
    "metals": words("iron gold silver copper tin lead"),
    "continents": words("Africa Asia Europe Oceania Antarctica"),
    "seasons": words("spring summer autumn winter"),
}  # fmt: skip
SINGULAR_CATEGORY = {
    "fruits": "fruit", "vegetables": "vegetable", "animals": "animal", "birds": "bird",
    "insects": "insect", "colours": "colour", "countries": "country", "cities": "city",
    "planets": "planet", "tools": "tool", "drinks": "drink", "sports": "sport", "jobs": "job",
    "instruments": "instrument", "vehicles": "vehicle", "metals": "metal", "seasons": "season",
}  # fmt: skip

HOBBIES = (
    "to read", "to swim", "to draw", "to sing", "to dance", "to cook", "to play chess",
    "to play football", "to ride my bicycle", "to walk in the woods", "to play the piano",
    "to watch the stars", "to write stories", "to climb trees", "to go fishing", "to paint",
)  # fmt: skip
CITIES = (*CATEGORIES["cities"], "Dublin", "Prague", "Warsaw", "Ottawa", "Nairobi", "Seoul")
FOODS = (
    "pizza", "soup", "bread", "cheese", "rice", "chocolate", "pasta", "salad", "pancakes",
    "apple pie", "ice cream", "sushi", "cake", "noodles", "fish", "honey",
)  # fmt: skip

FICTIONAL = words("""Narnia Gondor Mordor Westeros Wakanda Lilliput Neverland Oz Rohan Arrakis Camelot Eldorado
    Hogwarts Asgard Utopia Laputa Ruritania Freedonia Genovia Sokovia Latveria Zamunda Avalon
    Erewhon Brobdingnag Florin Guilder Lemuria Shangri-La Atlantis Panem Tatooine Krypton""")
_ONSETS = words("b d f g k l m n p r s t v w z br dr gr kr pl tr fl gl st sh ch th qu bl sk")
_VOWELS = (*"aeiouaeiouaeiou", "ee", "oo", "ai", "ou", "ia", "y")
_CODAS = (
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "n",
    "r",
    "l",
    "s",
    "m",
    "k",
    "x",
    "t",
    "nd",
    "rk",
    "sh",
    "ff",
    "zz",
)
_ENDINGS = (
    "ia",
    "land",
    "stan",
    "or",
    "istan",
    "ania",
    "ora",
    "ova",
    "ish",
    "ar",
    "um",
    "on",
    "ax",
)


def made_up(rng: Random, place: bool = False) -> str:
    """A word that is nobody's: two or three random syllables, capitalised."""
    word = ""
    for _ in range(pick(rng, (1, 2) if place else (2, 2, 2, 3))):
        word += pick(rng, _ONSETS) + pick(rng, _VOWELS) + pick(rng, _CODAS)
    if place or rng.random() < 0.2:
        word += pick(rng, _ENDINGS)
    return word.capitalize()


def unknown_place(rng: Random, held_out: bool) -> str:
    """A country that is in no atlas, of the wanted split."""
    while True:
        name = pick(rng, FICTIONAL) if rng.random() < 0.15 else made_up(rng, rng.random() < 0.7)
        if is_held_out(name) == held_out:
            return name


def unknown_thing(rng: Random, held_out: bool) -> str:
    """A lower-case noun that does not exist, of the wanted split."""
    while True:
        name = made_up(rng)
        if is_held_out(name) == held_out:
            return name.lower()


def person(rng: Random) -> str:
    """A first name, one in three of them made up so that names are copied and not remembered."""
    return pick(rng, NAMES) if rng.random() < 0.67 else made_up(rng)
