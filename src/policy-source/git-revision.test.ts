import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { suite, test } from 'node:test'
import { gitRevision } from './git-revision.ts'

const [A, B] = ['a'.repeat(40), 'b'.repeat(40)]
const SHA256 = 'c'.repeat(64)

type Case = {
  readonly name: string
  /** Below a fresh directory; the policies are in `work/policies`. */
  readonly files: Readonly<Record<string, string>>
  readonly expected: string | undefined
}

const CASES: readonly Case[] = [
  { name: 'no checkout', files: {}, expected: undefined },
  {
    name: 'a branch',
    files: { 'work/.git/HEAD': 'ref: refs/heads/main\n', 'work/.git/refs/heads/main': `${A}\n` },
    expected: A,
  },
  { name: 'a detached HEAD', files: { 'work/.git/HEAD': `${B}\n` }, expected: B },
  { name: 'an SHA-256 repository', files: { 'work/.git/HEAD': `${SHA256}\n` }, expected: SHA256 },
  {
    name: 'a packed branch, beside one whose name ends alike',
    files: {
      'work/.git/HEAD': 'ref: refs/heads/main\n',
      'work/.git/packed-refs': `# pack-refs with: peeled\n${B} refs/heads/not/refs/heads/main\n${A} refs/heads/main\n^${B}\n`,
    },
    expected: A,
  },
  {
    name: 'a loose branch beats the packed one',
    files: {
      'work/.git/HEAD': 'ref: refs/heads/main\n',
      'work/.git/refs/heads/main': `${A}\n`,
      'work/.git/packed-refs': `${B} refs/heads/main\n`,
    },
    expected: A,
  },
  {
    name: 'a worktree, whose branches are those of the repository',
    files: {
      'work/.git': 'gitdir: ../repository/.git/worktrees/work\n',
      'repository/.git/worktrees/work/HEAD': 'ref: refs/heads/next\n',
      'repository/.git/worktrees/work/commondir': '../..\n',
      'repository/.git/HEAD': 'ref: refs/heads/main\n',
      'repository/.git/refs/heads/main': `${A}\n`,
      'repository/.git/refs/heads/next': `${B}\n`,
    },
    expected: B,
  },
  {
    name: 'a submodule',
    files: {
      'work/.git': 'gitdir: ../modules/work\n',
      'modules/work/HEAD': `${A}\n`,
    },
    expected: A,
  },
  {
    name: 'the nearest repository counts',
    files: { '.git/HEAD': `${A}\n`, 'work/.git/HEAD': `${B}\n` },
    expected: B,
  },
  {
    name: 'a branch without a commit',
    files: { 'work/.git/HEAD': 'ref: refs/heads/main\n' },
    expected: undefined,
  },
  {
    name: 'a reference that leads out of the repository',
    files: { 'work/.git/HEAD': 'ref: refs/../../secret\n', 'work/secret': `${A}\n` },
    expected: undefined,
  },
  {
    name: 'references in a circle',
    files: {
      'work/.git/HEAD': 'ref: refs/heads/a\n',
      'work/.git/refs/heads/a': 'ref: refs/heads/b\n',
      'work/.git/refs/heads/b': 'ref: refs/heads/a\n',
    },
    expected: undefined,
  },
  { name: 'no text of a commit', files: { 'work/.git/HEAD': 'nonsense\n' }, expected: undefined },
  {
    name: 'more than a commit needs',
    files: { 'work/.git/HEAD': `${A}${'\n'.repeat(5000)}` },
    expected: undefined,
  },
]

suite('the commit of a checkout', () => {
  for (const { name, files, expected } of CASES) {
    test(name, async (context) => {
      const directory = await mkdtemp(join(tmpdir(), 'git-'))
      context.after(async () => await rm(directory, { recursive: true }))
      await mkdir(join(directory, 'work/policies'), { recursive: true })
      for (const [path, text] of Object.entries(files)) {
        // oxlint-disable-next-line no-await-in-loop -- a few small files
        await mkdir(dirname(join(directory, path)), { recursive: true })
        // oxlint-disable-next-line no-await-in-loop -- likewise
        await writeFile(join(directory, path), text)
      }
      assert.equal(await gitRevision(join(directory, 'work/policies')), expected)
    })
  }

  test('through a link into the checkout', async (context) => {
    const directory = await mkdtemp(join(tmpdir(), 'git-'))
    context.after(async () => await rm(directory, { recursive: true }))
    await mkdir(join(directory, 'work/.git'), { recursive: true })
    await writeFile(join(directory, 'work/.git/HEAD'), A)
    await symlink('work', join(directory, 'current'))
    assert.equal(await gitRevision(join(directory, 'current')), A)
  })
})
