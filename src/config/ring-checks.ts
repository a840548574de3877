import type { Finding, Path } from '../policy/problem.ts'
import { covers } from '../rings/covers.ts'
import type { Condition } from '../rings/definition.ts'
import { ADMIN_LISTENER, dataListeners, listenerPaths, type DataListenerEntry } from './listen-schema.ts'
import type { RingDocument } from './ring-schema.ts'
import type { ConfigDocument } from './schema.ts'

/** What is wrong with listeners and rings though each value alone is right. */
export function ringChecks(config: ConfigDocument): readonly Finding[] {
  return [...checkListeners(config), ...checkNames(config), ...checkConditions(config), ...checkReach(config)]
}

type Placed<Value> = { readonly path: Path; readonly value: Value }

function checkListeners({ listen, rings }: ConfigDocument): readonly Finding[] {
  const listeners = listenerPaths(listen).map(([path, value]) => ({ path, value }))
  const isAnyToken = rings.some(({ when }) => when.some(({ tokens }) => tokens !== undefined))
  return listeners.flatMap((listener, index) => {
    const earlier = listeners.slice(0, index).map(({ value }) => value)
    return [
      ...(index === 0 ? [] : checkApart(listener, [...earlier, { ...listen.admin, name: ADMIN_LISTENER }])),
      ...checkClients(listener, isAnyToken),
    ]
  })
}

type Named = Pick<DataListenerEntry, 'name' | 'host' | 'port'>

function checkApart(
  { path, value }: Placed<DataListenerEntry>,
  others: readonly Named[],
): readonly Finding[] {
  const findings: Finding[] = []
  if (others.some(({ name }) => name === value.name)) {
    const message = `found ${JSON.stringify(value.name)}, which another listener is called`
    findings.push({ path: [...path, 'name'], message })
  }
  const taken = others.find((one) => isSameAddress(one, value))
  if (taken !== undefined) {
    const message = `found ${value.port}, which is the port of ${taken.name} too; expected another`
    findings.push({ path: [...path, 'port'], message })
  }
  return findings
}

/** One port at two addresses is two. */
function isSameAddress(one: Named, other: Named): boolean {
  if (one.port !== other.port || one.port === 0) return false
  return one.host === other.host || [one.host, other.host].some((host) => host === '0.0.0.0' || host === '::')
}

function checkClients(
  { path, value: { tls, authentication } }: Placed<DataListenerEntry>,
  isAnyToken: boolean,
): readonly Finding[] {
  const findings: Finding[] = []
  if (tls?.clientCertificate !== undefined && tls.clientCa === undefined) {
    const message =
      'found no clientCa beside it, expected the authorities that certificates are verified with'
    findings.push({ path: [...path, 'tls', 'clientCertificate'], message })
  }
  if (authentication === 'token' && !isAnyToken) {
    const message = 'found "token", but no ring lists one: nobody could come in'
    findings.push({ path: [...path, 'authentication'], message })
  }
  return findings
}

function checkNames({ rings }: ConfigDocument): readonly Finding[] {
  const names = rings.map(({ name }) => name)
  return names.flatMap((name, index) => {
    if (names.indexOf(name) === index) return []
    const message = `found ${JSON.stringify(name)} twice, expected unique names; alternatives belong under one`
    return [{ path: ['rings', index, 'name'], message }]
  })
}

function checkConditions({ listen, rings }: ConfigDocument): readonly Finding[] {
  const listeners = dataListeners(listen)
  const known = listeners.map(({ name }) => name).join(', ')
  return alternativesOf(rings).flatMap(({ path, value: { listener, clientCertificates } }) => {
    const at = listeners.filter(({ name }) => listener === undefined || listener === name)
    if (at.length === 0) {
      return [
        {
          path: [...path, 'listener'],
          message: `found ${JSON.stringify(listener)}, expected one of ${known}`,
        },
      ]
    }
    if (clientCertificates === undefined || at.some(({ tls }) => tls?.clientCa !== undefined)) return []
    const message = `found no listener that asks for one, expected tls.clientCa at ${listener ?? 'one of them'}`
    return [{ path: [...path, 'clientCertificates'], message }]
  })
}

/** The first that recognises a client wins, so one that recognises no other clients than an earlier one never does. */
function checkReach({ rings }: ConfigDocument): readonly Finding[] {
  const alternatives = alternativesOf(rings)
  return alternatives.flatMap(({ path, value }, index) => {
    const earlier = alternatives.slice(0, index).find((one) => covers(one.value, value))
    if (earlier === undefined) return []
    const message = `found nothing that ring ${earlier.ring} does not recognise before; expected a narrower one to come first`
    return [{ path, message }]
  })
}

type Alternative = Placed<Condition> & { readonly ring: string }

function alternativesOf(rings: readonly RingDocument[]): readonly Alternative[] {
  return rings.flatMap(({ name, when }, index) =>
    when.map(({ tokens, ...rest }, alternative) => ({
      ring: name,
      path: ['rings', index, 'when', alternative],
      value: tokens === undefined ? rest : { ...rest, tokens: [...tokens.sha256, ...tokens.files] },
    })),
  )
}
