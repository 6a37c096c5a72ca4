"""The closed lexicon of translation: English, French and Spanish, with gender and conjugation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun in three languages; genders are `m` or `f`."""

    kind: str
    en: str
    en_plural: str
    fr: str
    fr_plural: str
    fr_gender: str
    es: str
    es_plural: str
    es_gender: str


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective: masculine and feminine singular, then plural, in French and in Spanish."""

    kinds: str
    en: str
    fr: tuple[str, ...]
    es: tuple[str, ...]
    before: bool
    """Whether it stands before the French noun."""
    before_vowel: str
    """The French masculine singular before a vowel."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb; each language for I, he, we and they. `objects` lists the kinds it takes, if any."""

    base: str
    en: str
    fr: tuple[str, ...]
    es: tuple[str, ...]
    objects: str


# kind | English | plural | French | plural | gender | Spanish | plural | gender
# kinds: a animal, p person, f food, t thing
_NOUNS = """
a|cat|cats|chat|chats|m|gato|gatos|m
a|dog|dogs|chien|chiens|m|perro|perros|m
a|horse|horses|cheval|chevaux|m|caballo|caballos|m
a|cow|cows|vache|vaches|f|vaca|vacas|f
a|bird|birds|oiseau|oiseaux|m|pájaro|pájaros|m
a|mouse|mice|souris|souris|f|ratón|ratones|m
a|rabbit|rabbits|lapin|lapins|m|conejo|conejos|m
a|fox|foxes|renard|renards|m|zorro|zorros|m
a|bear|bears|ours|ours|m|oso|osos|m
a|frog|frogs|grenouille|grenouilles|f|rana|ranas|f
a|duck|ducks|canard|canards|m|pato|patos|m
a|sheep|sheep|mouton|moutons|m|oveja|ovejas|f
a|lion|lions|lion|lions|m|león|leones|m
a|bee|bees|abeille|abeilles|f|abeja|abejas|f
a|turtle|turtles|tortue|tortues|f|tortuga|tortugas|f
p|girl|girls|fille|filles|f|niña|niñas|f
p|boy|boys|garçon|garçons|m|niño|niños|m
p|woman|women|femme|femmes|f|mujer|mujeres|f
p|man|men|homme|hommes|m|hombre|hombres|m
p|king|kings|roi|rois|m|rey|reyes|m
p|queen|queens|reine|reines|f|reina|reinas|f
p|mother|mothers|mère|mères|f|madre|madres|f
p|father|fathers|père|pères|m|padre|padres|m
p|brother|brothers|frère|frères|m|hermano|hermanos|m
p|sister|sisters|sœur|sœurs|f|hermana|hermanas|f
p|son|sons|fils|fils|m|hijo|hijos|m
p|aunt|aunts|tante|tantes|f|tía|tías|f
p|uncle|uncles|oncle|oncles|m|tío|tíos|m
f|apple|apples|pomme|pommes|f|manzana|manzanas|f
f|bread|breads|pain|pains|m|pan|panes|m
f|cheese|cheeses|fromage|fromages|m|queso|quesos|m
f|cake|cakes|gâteau|gâteaux|m|pastel|pasteles|m
f|egg|eggs|œuf|œufs|m|huevo|huevos|m
f|orange|oranges|orange|oranges|f|naranja|naranjas|f
f|pear|pears|poire|poires|f|pera|peras|f
f|soup|soups|soupe|soupes|f|sopa|sopas|f
f|carrot|carrots|carotte|carottes|f|zanahoria|zanahorias|f
f|salad|salads|salade|salades|f|ensalada|ensaladas|f
t|book|books|livre|livres|m|libro|libros|m
t|table|tables|table|tables|f|mesa|mesas|f
t|chair|chairs|chaise|chaises|f|silla|sillas|f
t|door|doors|porte|portes|f|puerta|puertas|f
t|window|windows|fenêtre|fenêtres|f|ventana|ventanas|f
t|house|houses|maison|maisons|f|casa|casas|f
t|car|cars|voiture|voitures|f|coche|coches|m
t|hat|hats|chapeau|chapeaux|m|sombrero|sombreros|m
t|key|keys|clé|clés|f|llave|llaves|f
t|letter|letters|lettre|lettres|f|carta|cartas|f
t|flower|flowers|fleur|fleurs|f|flor|flores|f
t|tree|trees|arbre|arbres|m|árbol|árboles|m
t|boat|boats|bateau|bateaux|m|barco|barcos|m
t|ball|balls|balle|balles|f|pelota|pelotas|f
t|shirt|shirts|chemise|chemises|f|camisa|camisas|f
t|shoe|shoes|chaussure|chaussures|f|zapato|zapatos|m
t|bed|beds|lit|lits|m|cama|camas|f
t|ring|rings|bague|bagues|f|anillo|anillos|m
t|box|boxes|boîte|boîtes|f|caja|cajas|f
t|picture|pictures|image|images|f|imagen|imágenes|f
"""
NOUNS = tuple(Noun(*line.split("|")) for line in _NOUNS.strip().splitlines())
NOUNS_OF = {kind: tuple(n for n in NOUNS if n.kind == kind) for kind in "apft"}

# kinds | English | French m, f, m plural, f plural | Spanish likewise | before the noun | m before vowel
_ADJECTIVES = """
apt|big|grand grande grands grandes|grande grande grandes grandes|1|grand
apt|small|petit petite petits petites|pequeño pequeña pequeños pequeñas|1|petit
apt|old|vieux vieille vieux vieilles|viejo vieja viejos viejas|1|vieil
ap|young|jeune jeune jeunes jeunes|joven joven jóvenes jóvenes|1|jeune
t|new|nouveau nouvelle nouveaux nouvelles|nuevo nueva nuevos nuevas|1|nouvel
apt|beautiful|beau belle beaux belles|hermoso hermosa hermosos hermosas|1|bel
ft|good|bon bonne bons bonnes|bueno buena buenos buenas|1|bon
aft|red|rouge rouge rouges rouges|rojo roja rojos rojas|0|rouge
aft|green|vert verte verts vertes|verde verde verdes verdes|0|vert
at|black|noir noire noirs noires|negro negra negros negras|0|noir
aft|white|blanc blanche blancs blanches|blanco blanca blancos blancas|0|blanc
t|blue|bleu bleue bleus bleues|azul azul azules azules|0|bleu
ap|happy|content contente contents contentes|contento contenta contentos contentas|0|content
ap|sad|triste triste tristes tristes|triste triste tristes tristes|0|triste
ap|tired|fatigué fatiguée fatigués fatiguées|cansado cansada cansados cansadas|0|fatigué
ap|strong|fort forte forts fortes|fuerte fuerte fuertes fuertes|0|fort
f|hot|chaud chaude chauds chaudes|caliente caliente calientes calientes|0|chaud
f|cold|froid froide froids froides|frío fría fríos frías|0|froid
t|heavy|lourd lourde lourds lourdes|pesado pesada pesados pesadas|0|lourd
apt|clean|propre propre propres propres|limpio limpia limpios limpias|0|propre
p|rich|riche riche riches riches|rico rica ricos ricas|0|riche
ap|intelligent|intelligent intelligente intelligents intelligentes|inteligente inteligente inteligentes inteligentes|0|intelligent
"""
ADJECTIVES = tuple(
    Adjective(k, en, tuple(fr.split()), tuple(es.split()), before == "1", vowel)
    for k, en, fr, es, before, vowel in (
        line.split("|") for line in _ADJECTIVES.strip().splitlines()
    )
)
ADJECTIVES_OF = {kind: tuple(a for a in ADJECTIVES if kind in a.kinds) for kind in "apft"}

# base | third person | French I, he, we, they | Spanish likewise | kinds of object (empty: none)
_VERBS = """
sleep|sleeps|dors dort dormons dorment|duermo duerme dormimos duermen|
sing|sings|chante chante chantons chantent|canto canta cantamos cantan|
run|runs|cours court courons courent|corro corre corremos corren|
swim|swims|nage nage nageons nagent|nado nada nadamos nadan|
dance|dances|danse danse dansons dansent|bailo baila bailamos bailan|
work|works|travaille travaille travaillons travaillent|trabajo trabaja trabajamos trabajan|
eat|eats|mange mange mangeons mangent|como come comemos comen|f
see|sees|vois voit voyons voient|veo ve vemos ven|apft
love|loves|aime aime aimons aiment|amo ama amamos aman|ap
want|wants|veux veut voulons veulent|quiero quiere queremos quieren|ft
buy|buys|achète achète achetons achètent|compro compra compramos compran|aft
sell|sells|vends vend vendons vendent|vendo vende vendemos venden|ft
find|finds|trouve trouve trouvons trouvent|encuentro encuentra encontramos encuentran|apft
carry|carries|porte porte portons portent|llevo lleva llevamos llevan|aft
wash|washes|lave lave lavons lavent|lavo lava lavamos lavan|t
paint|paints|peins peint peignons peignent|pinto pinta pintamos pintan|t
follow|follows|suis suit suivons suivent|sigo sigue seguimos siguen|ap
forget|forgets|oublie oublie oublions oublient|olvido olvida olvidamos olvidan|t
"""
VERBS = tuple(
    Verb(base, en, tuple(fr.split()), tuple(es.split()), objects)
    for base, en, fr, es, objects in (line.split("|") for line in _VERBS.strip().splitlines())
)
INTRANSITIVE = tuple(v for v in VERBS if not v.objects)
TRANSITIVE = tuple(v for v in VERBS if v.objects)
EATERS = "ap"
"""The kinds that may be a subject."""

PLACES = (
    ("in the garden", "dans le jardin", "en el jardín"),
    ("in the house", "dans la maison", "en la casa"),
    ("in the forest", "dans la forêt", "en el bosque"),
    ("in the kitchen", "dans la cuisine", "en la cocina"),
    ("in the street", "dans la rue", "en la calle"),
    ("at school", "à l'école", "en la escuela"),
    ("on the beach", "sur la plage", "en la playa"),
    ("in the city", "en ville", "en la ciudad"),
    ("under the tree", "sous l'arbre", "bajo el árbol"),
)
TIMES = (
    ("today", "aujourd'hui", "hoy"),
    ("every day", "tous les jours", "todos los días"),
    ("in the morning", "le matin", "por la mañana"),
    ("at night", "la nuit", "por la noche"),
    ("on Sunday", "dimanche", "el domingo"),
    ("now", "maintenant", "ahora"),
)

PHRASES = tuple(
    tuple(line.split("|"))
    for line in """
Hello|Bonjour|Hola
Good morning|Bonjour|Buenos días
Good evening|Bonsoir|Buenas tardes
Good night|Bonne nuit|Buenas noches
Goodbye|Au revoir|Adiós
Bye|Au revoir|Adiós
See you tomorrow|À demain|Hasta mañana
See you soon|À bientôt|Hasta pronto
Thank you|Merci|Gracias
Thank you very much|Merci beaucoup|Muchas gracias
Thanks|Merci|Gracias
Please|S'il vous plaît|Por favor
You're welcome|De rien|De nada
Yes|Oui|Sí
No|Non|No
Excuse me|Excusez-moi|Perdón
I am sorry|Je suis désolé|Lo siento
How are you?|Comment allez-vous ?|¿Cómo estás?
I am fine|Je vais bien|Estoy bien
What is your name?|Comment vous appelez-vous ?|¿Cómo te llamas?
Where is the station?|Où est la gare ?|¿Dónde está la estación?
Where are you?|Où êtes-vous ?|¿Dónde estás?
How much is it?|Combien ça coûte ?|¿Cuánto cuesta?
What time is it?|Quelle heure est-il ?|¿Qué hora es?
I love you|Je t'aime|Te quiero
I am hungry|J'ai faim|Tengo hambre
I am thirsty|J'ai soif|Tengo sed
I am tired|Je suis fatigué|Estoy cansado
I am cold|J'ai froid|Tengo frío
I don't understand|Je ne comprends pas|No entiendo
I speak English|Je parle anglais|Hablo inglés
Happy birthday|Joyeux anniversaire|Feliz cumpleaños
Merry Christmas|Joyeux Noël|Feliz Navidad
Good luck|Bonne chance|Buena suerte
Welcome|Bienvenue|Bienvenido
Have a nice day|Bonne journée|Que tengas un buen día
My name is Anna|Je m'appelle Anna|Me llamo Anna
The weather is nice|Il fait beau|Hace buen tiempo
It is raining|Il pleut|Está lloviendo
I like music|J'aime la musique|Me gusta la música
Help me|Aidez-moi|Ayúdame
Of course|Bien sûr|Por supuesto
""".strip().splitlines()
)
WORDS = tuple(
    tuple(line.split())
    for line in """
red rouge rojo
blue bleu azul
green vert verde
yellow jaune amarillo
black noir negro
white blanc blanco
one un uno
two deux dos
three trois tres
four quatre cuatro
five cinq cinco
six six seis
seven sept siete
eight huit ocho
nine neuf nueve
ten dix diez
big grand grande
small petit pequeño
happy heureux feliz
sad triste triste
good bon bueno
bad mauvais malo
Monday lundi lunes
Tuesday mardi martes
Wednesday mercredi miércoles
Thursday jeudi jueves
Friday vendredi viernes
Saturday samedi sábado
Sunday dimanche domingo
water eau agua
milk lait leche
sun soleil sol
moon lune luna
sea mer mar
sky ciel cielo
day jour día
night nuit noche
friend ami amigo
love amour amor
school école escuela
""".strip().splitlines()
)

# English | French m | French f | Spanish m | Spanish f: English does not say which
EPICENE = tuple(
    tuple(line.split())
    for line in """
singer chanteur chanteuse cantante cantante
dancer danseur danseuse bailarín bailarina
baker boulanger boulangère panadero panadera
farmer fermier fermière granjero granjera
teacher professeur professeure maestro maestra
neighbour voisin voisine vecino vecina
cook cuisinier cuisinière cocinero cocinera
director directeur directrice director directora
hairdresser coiffeur coiffeuse peluquero peluquera
seller vendeur vendeuse vendedor vendedora
musician musicien musicienne músico música
cousin cousin cousine primo prima
gardener jardinier jardinière jardinero jardinera
runner coureur coureuse corredor corredora
swimmer nageur nageuse nadador nadadora
traveller voyageur voyageuse viajero viajera
prisoner prisonnier prisonnière prisionero prisionera
butcher boucher bouchère carnicero carnicera
player joueur joueuse jugador jugadora
""".strip().splitlines()
)
