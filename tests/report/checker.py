"""What tests ask of a page: its elements, its text, its sections."""

import html.parser

_VOID = {'br', 'img', 'meta'}


class Checker(html.parser.HTMLParser):
  """Collects elements and text; every element must close in its order."""

  def __init__(self):
    super().__init__()
    self.open, self.elements, self.text = [], [], []

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag not in _VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    if not self.open or self.open.pop() != tag:
      raise AssertionError(f'</{tag}> closes nothing at {self.getpos()}')

  def handle_data(self, data):
    self.text.append(data)

  def of(self, tag):
    return [attributes for name, attributes in self.elements if name == tag]


def parse(path):
  """Returns the parsed page."""
  checker = Checker()
  checker.feed(path.read_text('utf-8'))
  checker.close()
  return checker


def text(path):
  """Returns what a reader reads, in one line."""
  return ' '.join(''.join(parse(path).text).split())


def section(path, anchor):
  """Returns the markup of one section."""
  content = path.read_text('utf-8')
  return content.split(f'<section id="{anchor}"')[1].split('</section>')[0]
