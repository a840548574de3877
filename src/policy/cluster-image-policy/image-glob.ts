import { RE2JS } from 're2js'
import { looksLikeRegistry } from '../../oci/reference.ts'
import { compileGlob } from '../glob.ts'

export type ConvertedGlob =
  | { readonly ok: true; readonly glob: string }
  | { readonly ok: false; readonly reason: string; readonly instead: string }

/** As many as our own globs have. */
const GLOB_CHARACTERS_MAX = 512
const DOCKER_HUB = 'index.docker.io'
/** As pkg/apis/glob has it. */
const GLOB = /^[a-zA-Z0-9-_:/*.@]+$/
/** What stands for any digest at the end of a glob. */
const ANY_DIGEST = /@(?:sha256:)?\*{1,2}$/

/**
 * A glob of policy-controller as one of ours. Its webhook compares the glob with `REGISTRY/REPOSITORY@sha256:…`, where the
 * tag is gone and Docker Hub is `index.docker.io` (webhook/validator.go validateContainerImage, ggcr name.Digest); ours is
 * compared with `REGISTRY/REPOSITORY`. A glob that can match nothing there is refused: here it would begin to.
 */
export function convertImageGlob(source: string): ConvertedGlob {
  if (source === '*' || source === '*/*') return { ok: true, glob: source }
  if (source.length > GLOB_CHARACTERS_MAX)
    return refused(`found a glob of ${source.length} characters`, `write at most ${GLOB_CHARACTERS_MAX}`)
  if (!GLOB.test(source)) {
    return refused(
      `found ${JSON.stringify(source)}, which is no glob`,
      'write letters, digits and - _ : / * . @ only',
    )
  }
  const repository = source.replace(ANY_DIGEST, '')
  const isOpen = repository !== source || repository.endsWith('*')
  return faultOfEnd(source, repository, isOpen) ?? convertRepository(source, repository)
}

function faultOfEnd(source: string, repository: string, isOpen: boolean): ConvertedGlob | undefined {
  const [, digest] = repository.split('@', 2)
  const [first = '', ...path] = repository.split('/')
  const bare = [first, ...path.map((part) => part.replace(/[:@].*$/, ''))].join('/')
  if (digest !== undefined) {
    return refused(
      `found ${JSON.stringify(source)}, a policy for single digests; here a policy is for repositories`,
      `write ${bare.replace(/@.*$/, '')}, and in mode observe first: it asks for a signature of every other digest too`,
    )
  }
  if (path.some((part) => part.includes(':'))) {
    return refused(
      `found ${JSON.stringify(source)}, whose tag matches nothing in policy-controller's webhook, which compares digests, and nothing here`,
      `write ${bare} for the repository, whatever the tag`,
    )
  }
  if (isOpen) return undefined
  return refused(
    `found ${JSON.stringify(source)}, which matches nothing in policy-controller's webhook: that compares it with …@sha256:…`,
    `write ${source}@* for this repository alone (it means the same in both)`,
  )
}

function convertRepository(source: string, repository: string): ConvertedGlob {
  const [first = '', ...path] = repository.split('/')
  if (first.startsWith('**')) return compiled(source, repository)
  if (first === '*' && path.join('/') === '**') return compiled(source, '**')
  if (path.length === 0) {
    return dead(
      source,
      `write a registry first: ${first.includes('**') ? `${first.replace(/\*+$/, '')}…/**` : `${DOCKER_HUB}/library/${first}`}`,
    )
  }
  if (first.includes('*')) return convertWildRegistry(source, repository, first)
  if (!looksLikeRegistry(first)) return dead(source, `write ${DOCKER_HUB}/${repository}`)
  return convertHosted(source, first, path)
}

function convertHosted(source: string, first: string, path: readonly string[]): ConvertedGlob {
  const rest = path.join('/')
  const isHub = ['docker.io', 'registry-1.docker.io', 'registry.hub.docker.com'].includes(first)
  if (isHub) return dead(source, `write ${DOCKER_HUB}/${rest}, as Docker Hub is called there`)
  if (first === DOCKER_HUB && path.length === 1 && !rest.includes('**')) {
    return dead(source, `write ${DOCKER_HUB}/library/${rest}, as official images are called there`)
  }
  return compiled(source, `${first}/${rest}`)
}

/** Our globs try every spelling of Docker Hub where the registry is a wildcard: only what means the same under all is equal. */
function convertWildRegistry(source: string, repository: string, first: string): ConvertedGlob {
  const host = RE2JS.compile(
    first
      .split('*')
      .map((part) => RE2JS.quote(part))
      .join('[^/]*'),
  )
  const isHost = first.includes('.') || first.includes(':')
  if (!first.includes('**') && isHost && host.matches('docker.io') === host.matches(DOCKER_HUB)) {
    return compiled(source, repository)
  }
  return refused(
    `found ${JSON.stringify(source)}, whose registry is a wildcard that is read otherwise here`,
    'write the registry itself, or ** for every one',
  )
}

function compiled(source: string, glob: string): ConvertedGlob {
  const result = compileGlob(glob)
  if (result.ok) return { ok: true, glob }
  return refused(`found ${JSON.stringify(source)}, which no repository matches`, result.message)
}

function dead(source: string, instead: string): ConvertedGlob {
  const reason = `found ${JSON.stringify(source)}, which matches nothing in policy-controller's webhook`
  return refused(reason, instead)
}

function refused(reason: string, instead: string): ConvertedGlob {
  return { ok: false, reason, instead }
}
