import { copyFile, writeFile } from 'node:fs/promises'
import { createPublisher, type Publisher } from './publisher.ts'
import type { PublishWorld } from '../../../cli/trust-publish.ts'

/** `init` with three root keys of which two must sign, and one key for each online role. */
export async function initialize(publisher: Publisher, ...more: string[]): Promise<void> {
  const { path } = publisher
  await publisher.keys('alice', 'bob', 'carol', 'targets', 'snapshot', 'timestamp')
  const roots = ['alice', 'bob', 'carol'].map((name) => path(`${name}.pub`))
  const online = ['targets', 'snapshot', 'timestamp'].flatMap((role) => [
    `--${role}-key`,
    path(`${role}.pem`),
  ])
  await publisher.must('init', '--root-key', ...roots, '--threshold', '2', ...online, ...more)
}

/** Each signs a copy of the staged root elsewhere; the copies come back and the root is published. */
export async function signOffline(
  publisher: Publisher,
  version: number,
  ...names: string[]
): Promise<string> {
  const copies: string[] = []
  for (const name of names) {
    const copy = publisher.path(`${name}-${version}.json`)
    await copyFile(`${publisher.repository}/staged/${version}.root.json`, copy)
    if (version > 1) {
      const before = `${version - 1}.root.json`
      await copyFile(`${publisher.repository}/staged/${before}`, publisher.path(before))
    }
    await publisher.must('sign-root', '--root', copy, '--key', publisher.path(`${name}.pem`))
    copies.push(copy)
  }
  return publisher.must('sign-root', '--from', ...copies)
}

/** A repository that serves one target, `greeting`. */
export async function createRepository(world: Partial<PublishWorld> = {}, now?: Date): Promise<Publisher> {
  const publisher = await createPublisher(world)
  if (now !== undefined) publisher.setClock(now)
  await initialize(publisher, '--timestamp-expires', '90d', '--snapshot-expires', '120d')
  await signOffline(publisher, 1, 'alice', 'bob')
  await publishGreeting(publisher, 'hello')
  return publisher
}

export async function publishGreeting(publisher: Publisher, text: string): Promise<void> {
  await writeFile(publisher.path('greeting.txt'), text)
  await publisher.must('targets', '--add', `greeting=${publisher.path('greeting.txt')}`)
}
