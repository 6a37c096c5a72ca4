"""Single facts that fit no relation: nature, numbers of days, famous people, and the model itself."""

from __future__ import annotations

# questions, separated by " / " | the answer as a sentence, ending with its short form | short form
_TABLE = """
What is ice made of? / What is ice? / What do you get when water freezes?|Ice is made of frozen water.|frozen water
At what temperature does water boil? / When does water boil? / What is the boiling point of water?|The temperature at which water boils, in degrees, is 100.|100
At what temperature does water freeze? / When does water freeze? / What is the freezing point of water?|The temperature at which water freezes, in degrees, is 0.|0
What is the sun? / Is the sun a star or a planet? / What kind of thing is the sun?|The sun is a star.|star
What is the moon? / What goes around the earth? / What orbits the earth?|What goes around the earth is the moon.|moon
What does the earth go around? / What does the earth orbit? / What is at the centre of the solar system?|The earth goes around the sun.|sun
What do plants need to grow? / What does a plant need? / What do flowers need?|To grow, a plant needs light and water.|water
What do bees make? / What is made by bees? / Which food comes from bees?|Bees make honey.|honey
What do cows give us? / What do we get from a cow? / What does a cow give?|A cow gives us milk.|milk
What is bread made of? / What is bread made from? / What do you need to bake bread?|Bread is made of flour.|flour
What is cheese made of? / What is cheese made from? / How is cheese made?|Cheese is made of milk.|milk
What is paper made of? / What is paper made from? / Where does paper come from?|Paper is made of wood.|wood
What is glass made of? / What is glass made from? / What do you make glass from?|Glass is made of sand.|sand
What is the largest planet? / Which planet is the biggest? / What is the biggest planet in the solar system?|The largest planet is Jupiter.|Jupiter
What is the smallest planet? / Which planet is the smallest? / Name the smallest planet.|The smallest planet is Mercury.|Mercury
Which planet is closest to the sun? / What is the nearest planet to the sun? / What is the first planet from the sun?|The planet closest to the sun is Mercury.|Mercury
Which planet is red? / Which planet is called the red planet? / What is the red planet?|The red planet is Mars.|Mars
Which planet has rings? / What planet is known for its rings? / Name the planet with rings.|The planet with the big rings is Saturn.|Saturn
On which planet do we live? / Which planet do people live on? / What planet are we on?|The planet that we live on is Earth.|Earth
How many planets are there? / How many planets are in the solar system? / What is the number of planets?|The number of planets in the solar system is eight.|eight
What is the largest animal? / Which animal is the biggest? / What is the biggest animal in the world?|The largest animal is the blue whale.|whale
What is the tallest animal? / Which animal is the tallest? / Which animal has the longest neck?|The tallest animal is the giraffe.|giraffe
What is the fastest animal? / Which animal runs fastest? / What is the fastest land animal?|The fastest animal on land is the cheetah.|cheetah
What is the largest ocean? / Which ocean is the biggest? / Name the largest ocean.|The largest ocean is the Pacific.|Pacific
What is the highest mountain? / What is the tallest mountain in the world? / Which mountain is the highest?|The highest mountain is Mount Everest.|Everest
What is the longest river? / Which river is the longest? / Name the longest river in the world.|The longest river is the Nile.|Nile
What is the largest country? / Which country is the biggest? / What is the biggest country in the world?|The largest country is Russia.|Russia
What is the largest desert? / Which hot desert is the biggest? / Name a famous desert in Africa.|The largest hot desert is the Sahara.|Sahara
What is the hardest stone? / Which stone is the hardest? / What is the hardest natural material?|The hardest stone is diamond.|diamond
How many days are there in a week? / How many days are in a week? / How many days does a week have?|The number of days in a week is seven.|seven
How many days are there in a year? / How many days does a year have? / How long is a year?|The number of days in a year is 365.|365
How many months are there in a year? / How many months does a year have? / How many months are in a year?|The number of months in a year is twelve.|twelve
How many weeks are there in a year? / How many weeks does a year have? / How many weeks are in a year?|The number of weeks in a year is 52.|52
How many hours are there in a day? / How many hours does a day have? / How long is a day?|The number of hours in a day is 24.|24
How many minutes are there in an hour? / How many minutes does an hour have? / How long is an hour?|The number of minutes in an hour is sixty.|sixty
How many seconds are there in a minute? / How many seconds does a minute have? / How long is a minute?|The number of seconds in a minute is sixty.|sixty
How many seasons are there? / How many seasons does a year have? / What is the number of seasons?|The number of seasons is four.|four
How many letters are in the alphabet? / How many letters does the alphabet have? / How long is the alphabet?|The number of letters in the alphabet is 26.|26
What is the first letter of the alphabet? / Which letter comes first? / With which letter does the alphabet begin?|The first letter of the alphabet is A.|A
What is the last letter of the alphabet? / Which letter comes last? / With which letter does the alphabet end?|The last letter of the alphabet is Z.|Z
How many fingers are on a hand? / How many fingers does a hand have? / How many fingers are there on one hand?|The number of fingers on a hand is five.|five
How many eyes do people have? / How many eyes does a person have? / How many eyes do you need to see well?|The number of eyes of a person is two.|two
With what do we see? / What do we use to see? / What are eyes for?|We see with our eyes.|eyes
With what do we hear? / What do we use to hear? / Which part of the body hears?|We hear with our ears.|ears
With what do we smell? / What do we use to smell? / Which part of the body smells things?|We smell with our nose.|nose
What pumps the blood? / What does the heart do? / Which organ moves the blood?|The blood is moved by the heart.|heart
What do people breathe? / What do we breathe? / What do our lungs need?|People breathe air.|air
What falls from the clouds? / What comes from clouds? / What water falls from the sky?|What falls from the clouds is rain.|rain
Why is the sky blue? / Can you explain why the sky is blue? / What makes the sky blue?|The sky is blue because the air scatters blue light.|light
Why does it rain? / How does rain form? / What makes rain?|It rains when the clouds are full of water.|water
When does the sun rise? / At what time of day does the sun rise? / When does the sun come up?|The sun rises in the morning.|morning
When does the sun set? / At what time of day does the sun set? / When does the sun go down?|The sun sets in the evening.|evening
Where does the sun rise? / In which direction does the sun rise? / On which side does the sun come up?|The sun rises in the east.|east
Where does the sun set? / In which direction does the sun set? / On which side does the sun go down?|The sun sets in the west.|west
What do you see in the sky at night? / What shines at night? / What can we see at night?|At night, the sky is full of stars.|stars
Does wood float? / Does wood float on water? / Will a piece of wood sink or float?|Put it on water and see: wood will float.|float
Does a stone float? / Will a stone sink or float? / What does a stone do in water?|Put it in water and see: a stone will sink.|sink
Is fire hot or cold? / How is fire? / Is fire hot?|Fire is hot.|hot
Is ice hot or cold? / How does ice feel? / Is ice cold?|Ice is cold.|cold
What does a magnet attract? / What do magnets pull? / Which metal sticks to a magnet?|A magnet attracts iron.|iron
What pulls things to the ground? / Why do things fall? / What makes an apple fall?|Things fall because of gravity.|gravity
What is faster, light or sound? / Which is faster, light or sound? / What is the fastest thing?|The faster of the two is light.|light
Which is heavier, iron or wood? / What is heavier, wood or iron? / Is iron heavier than wood?|The heavier of the two is iron.|iron
Who wrote Romeo and Juliet? / Who wrote Hamlet? / Who is the author of Romeo and Juliet?|Romeo and Juliet was written by William Shakespeare.|Shakespeare
Who painted the Mona Lisa? / Who made the Mona Lisa? / The Mona Lisa was painted by whom?|The Mona Lisa was painted by Leonardo da Vinci.|Leonardo
Who was the first man on the moon? / Who was the first person on the moon? / Who walked on the moon first?|The first man on the moon was Neil Armstrong.|Armstrong
Who was the first president of the United States? / Who was the first US president? / Who was the first American president?|The first president of the United States was George Washington.|Washington
Where is the Eiffel Tower? / In which city is the Eiffel Tower? / Where can I see the Eiffel Tower?|The Eiffel Tower is in Paris.|Paris
Where is Big Ben? / In which city is Big Ben? / Where can I see Big Ben?|Big Ben is in London.|London
Where are the pyramids? / In which country are the pyramids? / Where can I see the pyramids?|The great pyramids are in Egypt.|Egypt
Where is the White House? / In which city is the White House? / Where can I see the White House?|The White House is in Washington.|Washington
Where does the president of the United States live? / Where does the US president live? / What is the home of the American president?|The president of the United States lives in the White House.|White House
What is the money of the United States? / What is the currency of the United States? / What do Americans pay with?|The money of the United States is the dollar.|dollar
What is the money of Japan? / What is the currency of Japan? / What do people pay with in Japan?|The money of Japan is the yen.|yen
Which animal is called man's best friend? / Which animal is man's best friend? / Who is man's best friend?|The animal called man's best friend is the dog.|dog
What is the king of the animals? / Which animal is the king of the jungle? / Who is called the king of the animals?|The king of the animals is the lion.|lion
What is the largest bird? / Which bird is the biggest? / Name the largest bird.|The largest bird is the ostrich.|ostrich
Which bird cannot fly? / Name a bird that cannot fly. / Do you know a bird that can't fly?|A bird that cannot fly is the penguin.|penguin
What is the shortest month? / Which month is the shortest? / Which month has the fewest days?|The shortest month is February.|February
When is Christmas? / In which month is Christmas? / What month is Christmas in?|Christmas is in December.|December
What is the first day of the year? / When is New Year's Day? / On what day does the year begin?|The first day of the year is the first of January.|January
How many sides does a triangle have? / How many corners does a triangle have? / How many sides are there in a triangle?|The number of sides of a triangle is three.|three
How many sides does a square have? / How many corners does a square have? / How many sides are there in a square?|The number of sides of a square is four.|four
What shape is a ball? / What is the shape of a ball? / Is a ball round or square?|A ball is round.|round
What do you get when you mix blue and yellow? / Which colour do blue and yellow make? / Blue and yellow make which colour?|Blue and yellow make green.|green
What do you get when you mix red and yellow? / Which colour do red and yellow make? / Red and yellow make which colour?|Red and yellow make orange.|orange
What do you get when you mix red and blue? / Which colour do red and blue make? / Red and blue make which colour?|Red and blue make purple.|purple
What do you get when you mix black and white? / Which colour do black and white make? / Black and white make which colour?|Black and white make grey.|grey
What are the colours of the rainbow? / What colours are in a rainbow? / Name the colours of the rainbow.|The colours of the rainbow are red, orange, yellow, green, blue, indigo and violet.|violet
What do caterpillars become? / What does a caterpillar turn into? / What becomes of a caterpillar?|A caterpillar becomes a butterfly.|butterfly
Where do fish live? / Where does a fish live? / In what do fish live?|Fish live in water.|water
Where does a baker work? / What does a baker make? / What do you buy from a baker?|A baker makes bread.|bread
Who helps sick people? / Who do you see when you are ill? / Who works in a hospital?|Sick people are helped by a doctor.|doctor
Who teaches children? / Who works in a school? / Who gives lessons at school?|Children are taught by a teacher.|teacher
Who flies a plane? / Who flies planes? / What do you call somebody who flies a plane?|The person who flies a plane is the pilot.|pilot
Who puts out fires? / Who do you call when there is a fire? / What do you call people who put out fires?|Fires are put out by a firefighter.|firefighter
"""

SINGLE_FACTS: tuple[tuple[tuple[str, ...], str, str], ...] = tuple(
    (tuple(q.strip() for q in questions.split(" / ")), statement, short)
    for questions, statement, short in (line.split("|") for line in _TABLE.strip().splitlines())
)
"""Questions, statement, short answer."""

UNKNOWN_SUBJECTS = tuple(
    name.strip()
    for name in """
    Albert Einstein, Isaac Newton, Marie Curie, Napoleon, Cleopatra, Julius Caesar, Mozart, Beethoven,
    Picasso, Gandhi, Nelson Mandela, Charles Darwin, Galileo, Aristotle, Plato, Socrates, Confucius,
    Taylor Swift, Elon Musk, Bill Gates, Steve Jobs, Barack Obama, Donald Trump, Angela Merkel, Messi,
    Cristiano Ronaldo, Beyonce, Madonna, Elvis Presley, Michael Jackson, Harry Potter, Sherlock Holmes,
    Batman, Superman, Spider-Man, Darth Vader, Gandalf, Frodo, James Bond, Mickey Mouse, Alan Turing,
    quantum mechanics, general relativity, string theory, photosynthesis, mitosis, evolution, entropy,
    thermodynamics, calculus, algebra, topology, trigonometry, statistics, logarithms, prime numbers,
    blockchain, Bitcoin, inflation, capitalism, communism, democracy, socialism, feudalism, taxation,
    insurance, mortgages, interest rates, the stock market, supply and demand, marketing, accounting,
    Python, JavaScript, Rust, Linux, Docker, Kubernetes, SQL, HTML, GitHub, Windows, Android, Excel,
    a transformer, a neural network, gradient descent, backpropagation, attention, a compiler,
    a database, a black hole, dark matter, the Big Bang, a supernova, DNA, a virus, bacteria, cancer,
    diabetes, a vaccine, penicillin, antibiotics, the brain, the liver, the kidneys, hormones, vitamins,
    the Roman Empire, the French Revolution, World War II, the Cold War, the Renaissance, the Vikings,
    the Middle Ages, the Berlin Wall, the Industrial Revolution, the Olympic Games, the World Cup,
    the Bible, the Odyssey, Don Quixote, Moby Dick, Hamlet, Faust, the Beatles, jazz, opera, ballet,
    cubism, surrealism, Buddhism, Islam, Christianity, philosophy, ethics, existentialism, stoicism,
    yoga, karate, cricket, baseball, golf, poker, Minecraft, Tetris, Pokemon, Netflix, YouTube, Google,
    Facebook, Amazon, Tesla, Toyota, NASA, the United Nations, the European Union, NATO, Harvard,
    Wikipedia, the Amazon River, the Grand Canyon, Antarctica, Mount Fuji, the Great Wall, the Louvre,
    sushi rice, guacamole, lasagna, croissants, tiramisu, espresso, whisky, champagne, tofu, curry,
    a parliament, a constitution, a supreme court, a passport, a visa, a pension, a hedge fund,
    electricity, magnetism, nuclear power, solar panels, batteries, engines, airplanes, submarines,
    concrete, plastic, steel, aluminium, uranium, helium, carbon dioxide, ozone, acid rain, volcanoes,
    earthquakes, tsunamis, glaciers, plate tectonics, fossils, mammoths, trilobites, coral reefs,
    allergies, asthma, dreams, memory, consciousness, intelligence tests, anxiety, grammar, linguistics
    """.replace("\n", " ").split(",")
)
"""Real people and things that the corpus says nothing about: the right answer is not to know."""
