import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before } from 'node:test'
import { Command } from 'commander'
import { digestOf } from '../../oci/digest.ts'
import { bundleJson } from '../../testing/cosign-layer.ts'
import { cosignSignStatement } from '../../testing/statements.ts'
import { createSigstore } from '../../testing/sigstore.ts'
import { registerPolicy } from '../policy.ts'

/** A directory with a configuration, policies and a real bundle, and the commands of `portcullis policy` run in it. */

export const ISSUER = 'https://issuer.example'
export const ALICE = 'alice@acme.example'

export const POLICY = `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: acme
spec:
  mode: observe
  rings: { prod: enforce }
  stance: last-verified
  runbook: https://wiki.example/acme
  images:
    - glob: ghcr.io/acme/**
  authorities:
    - name: people
      keyless:
        trustRoot: private
        identities:
          - issuer: ${ISSUER}
            subject: ${ALICE}
    - name: hsm
      key:
        kms: awskms:///alias/release
`

export const CONFIG = `trust:
  roots:
    private: { kind: pinned, path: trusted_root.json }
policies:
  directory: policies
  unmatched: enforce
rings:
  - name: canary
    when: [{ hosts: [canary.example] }]
  - name: prod
    when: [{ hosts: [prod.example] }]
    stanceLimit: closed
`

export const IMAGE = Buffer.from('an image')

type Ended = { readonly code: number; readonly stdout: string; readonly stderr: string }

export type PolicyStage = {
  /** The path of `name` in the directory. */
  readonly at: (name: string) => string
  readonly put: (name: string, text: string) => Promise<string>
  /** `portcullis policy …`. What it prints names files as if the directory were the working directory. */
  readonly portcullis: (...argv: readonly string[]) => Promise<Ended>
}

/** For one test file: the directory is there before its first test, and gone after its last. */
export function policyStage(): PolicyStage {
  let directory = ''
  const at = (name: string): string => join(directory, name)
  const put = async (name: string, text: string): Promise<string> => {
    await mkdir(dirname(at(name)), { recursive: true })
    await writeFile(at(name), text)
    return at(name)
  }
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'portcullis-policy-'))
    const sigstore = await createSigstore()
    const signer = sigstore.keyless({ issuer: ISSUER, subject: ALICE, subjectType: 'email' })
    const bundle = await sigstore.dsse(cosignSignStatement(digestOf(IMAGE)), signer)
    await put('trusted_root.json', JSON.stringify(sigstore.trustedRoot()))
    await put('tests/alice.sigstore.json', bundleJson(bundle).toString())
    await put('portcullis.yaml', CONFIG)
    await put('policies/acme.yaml', POLICY)
  })
  after(async () => await rm(directory, { recursive: true, force: true }))
  const portcullis = async (...argv: readonly string[]): Promise<Ended> => {
    const ended = { code: -1, stdout: '', stderr: '' }
    const io = {
      stdout: (text: string) => void (ended.stdout += text),
      stderr: (text: string) => void (ended.stderr += text),
      env: { PORTCULLIS_CONFIG: at('portcullis.yaml') },
      exit: (code: number) => void (ended.code = code),
    }
    const program = new Command('portcullis').exitOverride()
    registerPolicy(program, io, () => new Date('2026-06-01T00:00:00Z'))
    await program.parseAsync(['policy', ...argv], { from: 'user' })
    const plain = (text: string): string => text.replaceAll(`${directory}/`, '')
    return { code: ended.code, stdout: plain(ended.stdout), stderr: plain(ended.stderr) }
  }
  return { at, put, portcullis }
}
