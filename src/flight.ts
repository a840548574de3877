/**
 * One computation a key: whoever asks while it runs gets the same promise (as parCache in golang.org/x/mod/sumdb).
 * The work belongs to nobody in particular, so it must carry its own time limit and never a caller's signal.
 */
export async function shareFlight<T>(
  flights: Map<string, Promise<T>>,
  key: string,
  start: () => Promise<T>,
): Promise<T> {
  const running = flights.get(key)
  if (running !== undefined) return await running
  const flight = start().finally(() => flights.delete(key))
  flights.set(key, flight)
  return await flight
}
