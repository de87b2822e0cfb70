import pathlib

from absl.testing import absltest, parameterized

from psm_jax.data.ingest import tracks


def _content(video_id, *spans, person_id=''):
  return {
    'video_id': video_id,
    'person_id': person_id,
    'suggestion': '',
    'counts': {'faces_dropped': 0},
    'sheets': [f'contact_sheets/{video_id}.jpg'],
    'tracks': [
      {
        'track': i,
        'first_frame': first,
        'last_frame': last,
        'first_s': first / 25,
        'last_s': last / 25,
        'changes_at': None,
        'crops': last - first + 1,
        'face_px': 80.0,
      }
      for i, (first, last) in enumerate(spans)
    ],
  }


_ONE = _content('one', (0, 99), person_id='one')
_TWO = _content('two', (0, 49), (20, 99), person_id='two')


def _merge(table, contents, *, remade=None):
  videos = {content['video_id']: content for content in contents}
  return tracks.merge(table, videos, remade=remade or {}, asks=False)[0]


class TrackTableTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)
    self.path = self.root / 'tracks.csv'
    self._write(_merge(tracks.read(self.root), [_ONE, _TWO]))

  def _write(self, table):
    self.path.write_text(table.text(), encoding='utf-8')

  def _assigned(self, *contents):
    contents = contents or (_ONE, _TWO)
    return tracks.assignments(
      self.root, tracks.read(self.root), {c['video_id']: c for c in contents}
    )

  def _fill(self, *rows):
    lines = self.path.read_text().splitlines()[:2]
    self.path.write_text('\n'.join([*lines, *rows]) + '\n')

  def test_one_track_is_confirmed_and_more_are_not(self):
    self.assertEqual(
      self._assigned(), {'one': {'one': [(0, 0, 99)]}, 'two': {}}
    )
    self.assertLen(tracks.read(self.root).of_video('two'), 2)

  def test_a_track_is_cut_by_frames(self):
    self._fill('two,0,0,29,A', 'two,0,30,49,B', 'two,1,50,99,A')
    self.assertEqual(
      self._assigned()['two'],
      {'A': [(0, 0, 29), (1, 50, 99)], 'B': [(0, 30, 49)]},
    )

  def test_what_was_filled_in_survives_more_videos(self):
    self._fill('two,0,0,49,A,,,,,,,,my note', 'two,1,20,99,B')
    three = _content('three', (0, 5))
    self._write(
      _merge(tracks.read(self.root), [_ONE, _TWO, three], remade={'two': _TWO})
    )
    table = tracks.read(self.root)
    self.assertEqual(
      [row['person_id'] for row in table.of_video('two')], ['A', 'B']
    )
    self.assertLen(table.of_video('three'), 1)

  def test_untouched_rows_follow_a_video_made_anew(self):
    now = _content('two', (0, 9))
    table = _merge(tracks.read(self.root), [_ONE, now], remade={'two': _TWO})
    self.assertEqual([r['last_frame'] for r in table.of_video('two')], [9])

  def test_a_spreadsheets_semicolons_and_columns_stay(self):
    lines = self.path.read_text().replace(',', ';').splitlines()
    lines = [lines[0] + ';note'] + [line + ';x' for line in lines[1:]]
    self.path.write_text('\ufeff' + '\r\n'.join(lines), encoding='utf-8')
    table = tracks.read(self.root)
    self._write(_merge(table, [_ONE, _TWO]))
    self.assertEqual(self.path.read_text().splitlines(), lines)

  def test_an_edit_is_noticed_and_none_is_not(self):
    table = tracks.read(self.root)
    self.assertFalse(tracks.is_edited(table, _ONE))
    self.assertFalse(tracks.is_edited(table, _TWO))
    self._fill('two,0,0,49,A', 'two,1,20,99,')
    self.assertTrue(tracks.is_edited(tracks.read(self.root), _TWO))

  @parameterized.parameters(
    (('two,0,0,49,a/b',), "line 3: person_id 'a/b'"),
    (
      ('two,7,0,49,A',),
      'line 3: two has no track 7; .*two/video.json says that it has 0, 1',
    ),
    (('two,0,0,60,A',), 'frames 0 to 60 .* 0 to 49'),
    (('two,0,x,49,A',), "first_frame 'x' is no whole number"),
    (('two,0,1.5,49,A',), "first_frame '1.5' is no whole number"),
    (
      ('two,0,0,49,A', 'two,1,49,99,A'),
      'lines 3 and 4: .* A twice in frame 49',
    ),
    (('two,0,0,30,A', 'two,0,30,49,B'), 'track 0 twice in frame 30'),
    (('two,0,0,49,ONE',), "'ONE' differs only in case from 'one' in line 2"),
  )
  def test_a_wrong_row_is_named(self, rows, message):
    self._fill(*rows)
    with self.assertRaisesRegex(ValueError, message):
      self._assigned()

  def test_a_file_that_is_no_such_table_is_left_alone(self):
    for content in (b'\xff\xfe\x00', b'a,b\n1,2\n', b''):
      self.path.write_bytes(content)
      with self.assertRaisesRegex(ValueError, 'tracks.csv'):
        tracks.read(self.root)
      self.assertEqual(self.path.read_bytes(), content)


if __name__ == '__main__':
  absltest.main()
