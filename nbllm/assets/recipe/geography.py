"""The countries of the world: capital, continent, language, and the French of some."""

from __future__ import annotations

_TABLE = """
Afghanistan|Kabul|Asia|Dari
Albania|Tirana|Europe|Albanian
Algeria|Algiers|Africa|Arabic
Angola|Luanda|Africa|Portuguese
Argentina|Buenos Aires|South America|Spanish
Armenia|Yerevan|Asia|Armenian
Australia|Canberra|Oceania|English
Austria|Vienna|Europe|German
Azerbaijan|Baku|Asia|Azerbaijani
Bangladesh|Dhaka|Asia|Bengali
Belarus|Minsk|Europe|Belarusian
Belgium|Brussels|Europe|Dutch
Bolivia|Sucre|South America|Spanish
Brazil|Brasilia|South America|Portuguese
Bulgaria|Sofia|Europe|Bulgarian
Cambodia|Phnom Penh|Asia|Khmer
Cameroon|Yaounde|Africa|French
Canada|Ottawa|North America|English
Chile|Santiago|South America|Spanish
China|Beijing|Asia|Chinese
Colombia|Bogota|South America|Spanish
Costa Rica|San Jose|North America|Spanish
Croatia|Zagreb|Europe|Croatian
Cuba|Havana|North America|Spanish
Cyprus|Nicosia|Europe|Greek
the Czech Republic|Prague|Europe|Czech
Denmark|Copenhagen|Europe|Danish
the Dominican Republic|Santo Domingo|North America|Spanish
Ecuador|Quito|South America|Spanish
Egypt|Cairo|Africa|Arabic
England|London|Europe|English
Estonia|Tallinn|Europe|Estonian
Ethiopia|Addis Ababa|Africa|Amharic
Finland|Helsinki|Europe|Finnish
France|Paris|Europe|French
Georgia|Tbilisi|Asia|Georgian
Germany|Berlin|Europe|German
Ghana|Accra|Africa|English
Greece|Athens|Europe|Greek
Guatemala|Guatemala City|North America|Spanish
Haiti|Port-au-Prince|North America|French
Honduras|Tegucigalpa|North America|Spanish
Hungary|Budapest|Europe|Hungarian
Iceland|Reykjavik|Europe|Icelandic
India|New Delhi|Asia|Hindi
Indonesia|Jakarta|Asia|Indonesian
Iran|Tehran|Asia|Persian
Iraq|Baghdad|Asia|Arabic
Ireland|Dublin|Europe|English
Israel|Jerusalem|Asia|Hebrew
Italy|Rome|Europe|Italian
Jamaica|Kingston|North America|English
Japan|Tokyo|Asia|Japanese
Jordan|Amman|Asia|Arabic
Kazakhstan|Astana|Asia|Kazakh
Kenya|Nairobi|Africa|Swahili
Kuwait|Kuwait City|Asia|Arabic
Laos|Vientiane|Asia|Lao
Latvia|Riga|Europe|Latvian
Lebanon|Beirut|Asia|Arabic
Libya|Tripoli|Africa|Arabic
Lithuania|Vilnius|Europe|Lithuanian
Luxembourg|Luxembourg|Europe|French
Madagascar|Antananarivo|Africa|Malagasy
Malaysia|Kuala Lumpur|Asia|Malay
Mali|Bamako|Africa|French
Malta|Valletta|Europe|Maltese
Mexico|Mexico City|North America|Spanish
Mongolia|Ulaanbaatar|Asia|Mongolian
Morocco|Rabat|Africa|Arabic
Mozambique|Maputo|Africa|Portuguese
Nepal|Kathmandu|Asia|Nepali
the Netherlands|Amsterdam|Europe|Dutch
New Zealand|Wellington|Oceania|English
Nicaragua|Managua|North America|Spanish
Nigeria|Abuja|Africa|English
North Korea|Pyongyang|Asia|Korean
Norway|Oslo|Europe|Norwegian
Pakistan|Islamabad|Asia|Urdu
Panama|Panama City|North America|Spanish
Paraguay|Asuncion|South America|Spanish
Peru|Lima|South America|Spanish
the Philippines|Manila|Asia|Filipino
Poland|Warsaw|Europe|Polish
Portugal|Lisbon|Europe|Portuguese
Qatar|Doha|Asia|Arabic
Romania|Bucharest|Europe|Romanian
Russia|Moscow|Europe|Russian
Rwanda|Kigali|Africa|Kinyarwanda
Saudi Arabia|Riyadh|Asia|Arabic
Scotland|Edinburgh|Europe|English
Senegal|Dakar|Africa|French
Serbia|Belgrade|Europe|Serbian
Singapore|Singapore|Asia|English
Slovakia|Bratislava|Europe|Slovak
Slovenia|Ljubljana|Europe|Slovene
South Africa|Pretoria|Africa|English
South Korea|Seoul|Asia|Korean
Spain|Madrid|Europe|Spanish
Sri Lanka|Colombo|Asia|Sinhala
Sudan|Khartoum|Africa|Arabic
Sweden|Stockholm|Europe|Swedish
Switzerland|Bern|Europe|German
Syria|Damascus|Asia|Arabic
Taiwan|Taipei|Asia|Chinese
Tanzania|Dodoma|Africa|Swahili
Thailand|Bangkok|Asia|Thai
Tunisia|Tunis|Africa|Arabic
Turkey|Ankara|Asia|Turkish
Uganda|Kampala|Africa|English
Ukraine|Kyiv|Europe|Ukrainian
the United Arab Emirates|Abu Dhabi|Asia|Arabic
the United Kingdom|London|Europe|English
the United States|Washington|North America|English
Uruguay|Montevideo|South America|Spanish
Uzbekistan|Tashkent|Asia|Uzbek
Venezuela|Caracas|South America|Spanish
Vietnam|Hanoi|Asia|Vietnamese
Wales|Cardiff|Europe|English
Yemen|Sanaa|Asia|Arabic
Zambia|Lusaka|Africa|English
Zimbabwe|Harare|Africa|English
"""
_ROWS = [line.split("|") for line in _TABLE.strip().splitlines()]

COUNTRIES: tuple[str, ...] = tuple(row[0] for row in _ROWS)
"""As they stand in a sentence: with their article, where they have one."""
CAPITAL = {row[0]: row[1] for row in _ROWS}
CONTINENT = {row[0]: row[2] for row in _ROWS}
LANGUAGE = {row[0]: row[3] for row in _ROWS}

SHARED_CAPITALS = {"London"}
"""Capitals of which nobody should be asked the country."""

# country: (of the country, its capital), in French and in Spanish
FRENCH = {
    "France": ("de la France", "Paris"),
    "Italy": ("de l'Italie", "Rome"),
    "Spain": ("de l'Espagne", "Madrid"),
    "Germany": ("de l'Allemagne", "Berlin"),
    "England": ("de l'Angleterre", "Londres"),
    "Portugal": ("du Portugal", "Lisbonne"),
    "Belgium": ("de la Belgique", "Bruxelles"),
    "Switzerland": ("de la Suisse", "Berne"),
    "Austria": ("de l'Autriche", "Vienne"),
    "Greece": ("de la Grèce", "Athènes"),
    "Poland": ("de la Pologne", "Varsovie"),
    "Russia": ("de la Russie", "Moscou"),
    "China": ("de la Chine", "Pékin"),
    "Japan": ("du Japon", "Tokyo"),
    "Canada": ("du Canada", "Ottawa"),
    "Mexico": ("du Mexique", "Mexico"),
    "Egypt": ("de l'Égypte", "Le Caire"),
    "Morocco": ("du Maroc", "Rabat"),
    "Turkey": ("de la Turquie", "Ankara"),
    "Norway": ("de la Norvège", "Oslo"),
    "Sweden": ("de la Suède", "Stockholm"),
    "Ireland": ("de l'Irlande", "Dublin"),
    "Hungary": ("de la Hongrie", "Budapest"),
    "Cuba": ("de Cuba", "La Havane"),
    "Peru": ("du Pérou", "Lima"),
    "Chile": ("du Chili", "Santiago"),
    "India": ("de l'Inde", "New Delhi"),
    "Finland": ("de la Finlande", "Helsinki"),
    "Denmark": ("du Danemark", "Copenhague"),
    "Scotland": ("de l'Écosse", "Édimbourg"),
}
SPANISH = {
    "France": ("de Francia", "París"),
    "Italy": ("de Italia", "Roma"),
    "Spain": ("de España", "Madrid"),
    "Germany": ("de Alemania", "Berlín"),
    "England": ("de Inglaterra", "Londres"),
    "Portugal": ("de Portugal", "Lisboa"),
    "Belgium": ("de Bélgica", "Bruselas"),
    "Switzerland": ("de Suiza", "Berna"),
    "Austria": ("de Austria", "Viena"),
    "Greece": ("de Grecia", "Atenas"),
    "Poland": ("de Polonia", "Varsovia"),
    "Russia": ("de Rusia", "Moscú"),
    "China": ("de China", "Pekín"),
    "Japan": ("de Japón", "Tokio"),
    "Canada": ("de Canadá", "Ottawa"),
    "Mexico": ("de México", "Ciudad de México"),
    "Egypt": ("de Egipto", "El Cairo"),
    "Morocco": ("de Marruecos", "Rabat"),
    "Turkey": ("de Turquía", "Ankara"),
    "Norway": ("de Noruega", "Oslo"),
    "Sweden": ("de Suecia", "Estocolmo"),
    "Ireland": ("de Irlanda", "Dublín"),
    "Hungary": ("de Hungría", "Budapest"),
    "Cuba": ("de Cuba", "La Habana"),
    "Peru": ("de Perú", "Lima"),
    "Chile": ("de Chile", "Santiago"),
    "India": ("de India", "Nueva Delhi"),
    "Finland": ("de Finlandia", "Helsinki"),
    "Denmark": ("de Dinamarca", "Copenhague"),
    "Scotland": ("de Escocia", "Edimburgo"),
}
