export type RoleState = { readonly role: string; readonly version: number; readonly expires: Date }

type AnyMetadata = { readonly signed: { readonly version: number; readonly expires: string } }

export function stateOf(role: string, { signed }: AnyMetadata): RoleState {
  return { role, version: signed.version, expires: new Date(signed.expires) }
}
