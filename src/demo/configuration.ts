import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestRegistry } from '../testing/registry.ts'
import type { TufRepository } from '../testing/tuf-repository.ts'
import type { Stage } from './scenes.ts'

/** Writes what an operator would write, into an empty directory, and gives the path of the configuration file. */
export async function writeStage(
  directory: string,
  { registry, tuf }: { registry: TestRegistry; tuf: TufRepository },
  stage: Stage,
): Promise<string> {
  const config = {
    listen: { data: { port: 0 }, admin: { port: 0 } },
    dataDirectory: 'data',
    upstreams: { [registry.host]: { url: registry.url, allowPrivateAddresses: true } },
    defaultUpstream: registry.host,
    trust: { roots: { demo: { kind: 'tuf', url: tuf.url, root: 'root.json' } } },
    policies: { directory: 'policies' },
    log: { level: 'silent' },
  }
  await mkdir(join(directory, 'policies'))
  await writeFile(join(directory, 'policies', 'demo.yaml'), stage.policies)
  await writeFile(join(directory, 'root.json'), tuf.root())
  const path = join(directory, 'portcullis.yaml')
  // JSON is YAML.
  await writeFile(path, JSON.stringify(config, undefined, 2))
  return path
}
