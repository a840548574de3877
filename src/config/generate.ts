import { writeFile } from 'node:fs/promises'
import { policyJsonSchema } from '../policy/document.ts'
import { policyTestJsonSchema } from '../policy-test/document.ts'
import { revocationJsonSchema } from '../policy/revocation-document.ts'
import { configReference } from './reference.ts'
import { configJsonSchema } from './schema.ts'

/** What is made from the schemas, by its path from the project's root. `node src/config/generate.ts` writes all of it. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['config/schema.json', jsonText(configJsonSchema())],
    ['config/policy.schema.json', jsonText(policyJsonSchema())],
    ['config/revocation.schema.json', jsonText(revocationJsonSchema())],
    ['config/policy-test.schema.json', jsonText(policyTestJsonSchema())],
    ['docs/configuration.md', configReference()],
  ])
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

if (import.meta.main) {
  const root = new URL('../../', import.meta.url)
  const writes = [...generatedFiles()].map(([path, text]) => writeFile(new URL(path, root), text))
  await Promise.all(writes)
}
