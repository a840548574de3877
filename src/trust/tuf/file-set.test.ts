import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { FileSet } from './file-set.ts'
import { REPOSITORY_BYTES_MAX } from './limits.ts'

suite('FileSet', () => {
  test('roots count towards the size of all', () => {
    const roots = new Map([['1.root.json', Buffer.alloc(REPOSITORY_BYTES_MAX - 1)]])
    const files = new FileSet(roots)
    files.add('timestamp.json', Buffer.alloc(1))
    assert.throws(() => files.add('1.targets.json', Buffer.alloc(1)), {
      code: 'refused',
      message: /more than 67108864 bytes/,
    })
  })

  test('one name, one file, and none of a root', () => {
    const files = new FileSet(new Map())
    files.add('a', Buffer.from('1'))
    files.add('a', Buffer.from('1'))
    for (const name of ['a', '2.root.json']) {
      assert.throws(() => files.add(name, Buffer.from('2')), { code: 'refused', message: /two files/ })
    }
    assert.deepEqual([...files.all.keys()], ['a'])
  })
})
