/** Of policy-controller's API. */
export const GROUP = 'policy.sigstore.dev/'

/** Whether a document of a policies directory is one of policy-controller's. */
export function isPolicyControllerDocument(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('apiVersion' in value)) return false
  return typeof value.apiVersion === 'string' && value.apiVersion.startsWith(GROUP)
}
