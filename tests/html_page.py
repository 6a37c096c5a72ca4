"""HTML read back, for tests of views; and text that a model could say to do harm."""

from html.parser import HTMLParser

HOSTILE = "<script>alert(1)</script>&amp;\x1b[31mred\x1b]8;;http://x\x07\r\b\x00\x9b \u202eevil\u202c שלום"


class Page(HTMLParser):
    """The tags, attributes and text of a page; fails on anything left open."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data
