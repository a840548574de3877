import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { importFile, type ImportedDocument } from '../src/import/import.ts'

/**
 * What becomes of the policies that other projects publish, as the tables of docs/policy-import.md:
 *
 *     node scripts/policy-import-table.ts policy-controller CHECKOUT
 *     node scripts/policy-import-table.ts kyverno CHECKOUT
 */

export type Published = 'policy-controller' | 'kyverno'

const REASON_CHARACTERS_MAX = 240

/** Written for an instance in the cluster of the test: the import has to be told which trust root that is. */
const IN_CLUSTER = 'test/testdata/policy-controller/e2e'

const POLICY_CONTROLLER = [
  'examples/policies',
  IN_CLUSTER,
  'test/testdata/policy-controller/valid',
  'test/testdata/policy-controller/invalid',
  'test/testdata/policy-controller/tester',
  'test/testdata/policy-controller/empty-authorities',
  'test/testdata/trustroot/e2e',
  'test/testdata/trustroot/valid',
]

const KYVERNO = [
  'test/conformance/chainsaw/verify-images/**/policy*.yaml',
  'test/conformance/chainsaw/image-validating-policies/**/*policy*.yaml',
  'test/cli/test-image-validating-policy/**/*pol*.yaml',
]
const KYVERNO_KINDS = /^(?:Namespaced)?(?:ClusterPolicy|Policy|ImageValidatingPolicy)\b/

type Row = { readonly file: string; readonly document: ImportedDocument }

export function publishedTable(published: Published, checkout: string): string {
  return published === 'policy-controller' ? policyControllerTable(checkout) : kyvernoTable(checkout)
}

function policyControllerTable(checkout: string): string {
  const sections = POLICY_CONTROLLER.map((directory) => {
    const rows = rowsOf(checkout, `${directory}/*.yaml`, directory === IN_CLUSTER ? 'cluster' : undefined)
    const lines = rows.map(
      ({ file, document }) =>
        `| ${file.slice(directory.length + 1)} | ${isImported(document) ? 'imported' : 'refused'} | ${why(document)} |`,
    )
    return [
      `### ${directory}: ${summary(rows)}`,
      '',
      '| file | result | why, or what is noted |',
      '|---|---|---|',
      ...lines,
    ].join('\n')
  })
  return `${sections.join('\n\n')}\n`
}

/** By reason: there are too many for a line each. */
function kyvernoTable(checkout: string): string {
  const rows = KYVERNO.flatMap((pattern) => rowsOf(checkout, pattern, undefined)).filter(({ document }) =>
    KYVERNO_KINDS.test(document.title),
  )
  const reasons = Map.groupBy(
    rows.flatMap(({ file, document }) =>
      [...new Set(document.refusals.map(({ reason }) => kindOf(reason)))].map((reason) => ({ file, reason })),
    ),
    ({ reason }) => reason,
  )
  const lines = [...reasons]
    .toSorted(([a, some], [b, others]) => others.length - some.length || (a < b ? -1 : 1))
    .map(([reason, files]) => `| ${cell(reason)} | ${files.length} |`)
  return [`${summary(rows)}`, '', '| refused because of | documents |', '|---|---|', ...lines, ''].join('\n')
}

function rowsOf(checkout: string, pattern: string, trustRoot: string | undefined): readonly Row[] {
  const options = { trustRoot, accept: new Set<never>(), readKeyFile: () => undefined }
  return globSync(pattern, { cwd: checkout })
    .toSorted()
    .flatMap((file) => {
      const { documents, problems } = importFile(
        file,
        readFileSync(join(checkout, file), 'utf8'),
        'auto',
        options,
      )
      const [problem] = problems
      if (problem !== undefined) throw new Error(`${file}: ${problem.message}`)
      return documents.map((document) => ({ file, document }))
    })
}

function summary(rows: readonly Row[]): string {
  const imported = rows.filter(({ document }) => isImported(document)).length
  return `${rows.length} documents, ${imported} imported, ${rows.length - imported} refused`
}

function isImported({ refusals }: ImportedDocument): boolean {
  return refusals.length === 0
}

function why({ refusals, notes }: ImportedDocument): string {
  const remarks =
    refusals.length > 0
      ? refusals.map(({ path, reason }) => [path, reason] as const)
      : notes.map(({ path, message }) => [path, message] as const)
  const byText = Map.groupBy(remarks, ([, text]) => text)
  return [...byText]
    .map(([text, [first]]) => cell(`\`${first?.[0].replace(/^spec\./, '') ?? ''}\`: ${text}`))
    .join('; ')
}

/** Without what the document itself says. */
function kindOf(reason: string): string {
  return reason.replaceAll(/"(?:[^"\\]|\\.)*"/g, '…')
}

function cell(text: string): string {
  const cut =
    text.length <= REASON_CHARACTERS_MAX ? text : `${text.slice(0, REASON_CHARACTERS_MAX).trimEnd()} …`
  // A cut may leave a quoted glob open, whose stars Markdown would read.
  return cut.replaceAll('|', String.raw`\|`).replaceAll('*', String.raw`\*`)
}

function main([published, checkout]: readonly string[]): void {
  if ((published === 'policy-controller' || published === 'kyverno') && checkout !== undefined) {
    process.stdout.write(publishedTable(published, checkout))
    return
  }
  process.stderr.write('usage: policy-import-table.ts policy-controller|kyverno CHECKOUT\n')
  process.exitCode = 3
}

if (import.meta.main) main(process.argv.slice(2))
