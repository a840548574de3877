/** What the content store calls the part of `incoming/` that a worker process has. */
export function guestName(pid: number): string {
  return `worker-${pid}`
}
