import os
import pathlib

from absl.testing import absltest, parameterized

from psm_jax import paths
from psm_jax.data.ingest import listing


class ListInputsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.root = pathlib.Path(self.create_tempdir().full_path)
    for name in ('b.mp4', 'a.MOV', 'notes.txt', '.hidden.mp4', 's1/x.mp4'):
      path = self.root / name
      path.parent.mkdir(exist_ok=True)
      path.write_bytes(name.encode())

  def _manifest(self, text):
    path = self.root / 'list.csv'
    path.write_text(text, encoding='utf-8')
    return {i.name: i for i in listing.list_inputs(path)}

  def test_a_folder_gives_the_videos_below_it_but_not_the_output(self):
    out = self.root / 'out' / 'videos'
    out.mkdir(parents=True)
    (out / 'c.mp4').touch()
    inputs = listing.list_inputs(self.root, leave_out=self.root / 'out')
    videos = [i for i in inputs if not i.is_left_out]
    self.assertEqual([i.name for i in videos], ['a.MOV', 'b.mp4', 's1/x.mp4'])
    self.assertEqual([i.person_id for i in videos], ['', '', ''])
    others = {i.name: i.problem for i in inputs if i.is_left_out}
    self.assertEqual(set(others), {'notes.txt', '.hidden.mp4'})
    self.assertIn('by its name', others['notes.txt'])

  def test_a_folder_can_be_a_person(self):
    inputs = listing.list_inputs(self.root, person_from='folder')
    people = {i.name: i.person_id for i in inputs}
    self.assertEqual((people['b.mp4'], people['s1/x.mp4']), ('', 's1'))

  def test_a_manifest_names_people(self):
    found = self._manifest('\ufeffpath;person_id\nb.mp4;P1\ns1/x.mp4;\n')
    self.assertEqual(found['b.mp4'].person_id, 'P1')
    self.assertEqual(found['s1/x.mp4'].person_id, '')
    self.assertEqual(found['b.mp4'].path, self.root / 'b.mp4')

  def test_bad_lines_of_a_manifest_are_named_and_the_rest_kept(self):
    path = self.root / 'list.csv'
    path.write_text(
      'path,person_id\nb.mp4,P1\na.MOV,../x\ns1/x.mp4,p1\nb.mp4,P1\nb.mp4,P2\n'
    )
    problems = [i.problem for i in listing.list_inputs(path)]
    self.assertEqual(problems[0], '')
    self.assertRegex(problems[1], 'line 3.*not a safe name')
    self.assertIn('differs only in case', problems[2])
    self.assertRegex(problems[3], 'line 5.*again')
    self.assertRegex(problems[4], 'line 6.*second person_id')

  def test_what_gives_no_videos_is_named(self):
    (self.root / 'empty').mkdir()
    with self.assertRaisesRegex(ValueError, 'No video in .*empty'):
      listing.list_inputs(self.root / 'empty')
    with self.assertRaisesRegex(ValueError, 'does not exist'):
      listing.list_inputs(self.root / 'none')
    for text in ('file\nb.mp4\n', 'path,person_id\n'):
      with self.assertRaisesRegex(ValueError, 'column `path`'):
        self._manifest(text)


class IdTest(parameterized.TestCase):
  @parameterized.parameters('a', 'S01_day-2', 'x' * 50)
  def test_a_safe_name_stays(self, name):
    self.assertEqual(listing.safe_id(name), name)

  @parameterized.parameters(
    'é', 'a b', '../../etc', '=cmd()', '人', 'con', '', '-x', 'a\nb', 'y' * 300
  )
  def test_any_other_name_becomes_safe_and_tells_itself_apart(self, name):
    made = listing.safe_id(name)
    self.assertEqual(paths.check_id(made, what='id'), made)
    self.assertNotEqual(made, listing.safe_id(name + '!'))
    self.assertEqual(made, listing.safe_id(name))

  def test_a_name_that_is_no_text_becomes_safe(self):
    made = listing.safe_id(os.fsdecode(b'\xff\xfe'))
    self.assertEqual(paths.check_id(made, what='id'), made)

  def _assign(self, names, known=(), content='c'):
    inputs = [
      listing.Input(pathlib.Path('/v') / n, n, content=f'{content}{n}')
      for n in names
    ]
    made = listing.assign_ids(inputs, known)
    return [made[i.key] for i in inputs], [
      {'video_id': made[i.key], 'key': i.key, 'content': i.content}
      for i in inputs
    ]

  def test_names_alike_get_ids_apart(self):
    made, _ = self._assign(['a.mp4', 'a.avi', 'A.mkv', 'a/a.mp4', 'a-a.mp4'])
    self.assertEqual(made[0], 'a')
    self.assertLen({name.lower() for name in made}, 5)

  def test_ids_stay_when_more_videos_come(self):
    first, known = self._assign(['b.mp4', 'c/d.mp4'])
    self.assertEqual(first, ['b', 'c-d'])
    later, _ = self._assign(['b.avi', 'b.mp4', 'c/d.mp4', 'c-d.mp4'], known)
    self.assertEqual(later[1:3], first)
    self.assertLen(set(later), 4)

  def test_a_moved_video_keeps_its_id_and_a_changed_one_too(self):
    (made,), known = self._assign(['day1.mp4'])
    path, content = pathlib.Path('/w/day1.mp4'), known[0]['content']
    moved = listing.Input(path, 'day1.mp4', content=content)
    ids = listing.assign_ids([moved], known)
    self.assertEqual(ids[moved.key], made)
    (again,), _ = self._assign(['day1.mp4'], known, content='changed')
    self.assertEqual(again, made)

  def test_another_video_of_that_name_does_not_take_its_place(self):
    (made,), known = self._assign(['day1.mp4'])
    path = pathlib.Path('/w/day1.mp4')
    other = listing.Input(path, 'day1.mp4', content='other')
    ids = listing.assign_ids([other], known)
    self.assertNotEqual(ids[other.key], made)

  def test_a_fingerprint_tells_contents_apart(self):
    one = self.create_tempfile(content='a' * 10).full_path
    other = self.create_tempfile(content='a' * 9 + 'b').full_path
    self.assertNotEqual(listing.fingerprint(one), listing.fingerprint(other))

  def test_what_is_no_file_is_named_and_not_waited_for(self):
    path = pathlib.Path(self.create_tempdir().full_path) / 'a.mp4'
    os.mkfifo(path)
    with self.assertRaisesRegex(OSError, 'not a file'):
      listing.fingerprint(path)


if __name__ == '__main__':
  absltest.main()
