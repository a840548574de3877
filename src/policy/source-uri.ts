/** Where a build's source is kept, in one spelling: whoever signs provenance chooses the spelling. */
export type SourceLocation = {
  /** `https://github.com/acme/app`: host in lower case, no `git+`, no `.git`, no ref. */
  readonly repository: string
  /** As it is written behind `@` or `#`; undefined where it is not. */
  readonly ref: string | undefined
}

const HOST_CHARACTERS_MAX = 255
const HOST = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?$/
const PATH_SEGMENT = /^[A-Za-z0-9._~+-]+$/
const REF_CHARACTERS_MAX = 1024

/**
 * Parses a git URI as provenance has it: SPDX download locations (`git+https://host/path@ref`) and BuildKit's
 * (`https://host/path.git#ref:directory`). What could be read in two ways is refused, as a verb phrase: user names before
 * the host, escapes, `..`, empty segments, trailing dots, queries.
 */
export function parseSourceUri(text: string): SourceLocation | string {
  const [, scheme, host, rest] = /^(?:git\+)?(https?):\/\/([^/]*)\/(.*)$/s.exec(text) ?? []
  if (scheme === undefined || host === undefined || rest === undefined) return 'is no http or https git URI'
  const hostname = host.toLowerCase()
  if (hostname.length > HOST_CHARACTERS_MAX || !HOST.test(hostname)) return 'has no plain host name'
  const cut = rest.search(/[@#]/)
  const path = cut === -1 ? rest : rest.slice(0, cut)
  const segments = path.replace(/\.git$/, '').split('/')
  if (!segments.every(isPlainSegment)) return 'has no plain repository path'
  const ref = cut === -1 ? undefined : refOf(rest.slice(cut))
  if (ref !== undefined && !isRef(ref)) return 'has no plain ref'
  return { repository: `${scheme}://${hostname}/${segments.join('/')}`, ref }
}

/** Names that git itself would take for a ref, roughly (git-check-ref-format): enough that none hides another. */
export function isRef(text: string): boolean {
  return (
    text.length <= REF_CHARACTERS_MAX &&
    /^[!-~]+$/.test(text) &&
    !/\.\.|\/\/|@\{|[\\~^:?*[]/.test(text) &&
    !text.startsWith('/') &&
    !text.endsWith('/')
  )
}

function isPlainSegment(segment: string): boolean {
  return PATH_SEGMENT.test(segment) && segment !== '.' && segment !== '..'
}

/** BuildKit puts a directory of the repository behind the ref. */
function refOf(marked: string): string {
  const ref = marked.slice(1)
  return marked.startsWith('#') ? (ref.split(':')[0] ?? '') : ref
}
