/** How often the keeper asks every worker whether it is there. */
export const BEAT_MS = 5_000
/** 20 s of silence. */
const MISSED_MAX = 4

/**
 * Whether the other process is there. Beats are counted and not the time: who was stopped for a while, as with a machine
 * that sleeps, finds one beat missed and not the other process dead.
 */
export class Pulse {
  #missed = 0

  /** The other process has said something. */
  heard(): void {
    this.#missed = 0
  }

  /** Once in BEAT_MS: whether it has been silent for too long. */
  beat(): boolean {
    this.#missed += 1
    return this.#missed > MISSED_MAX
  }
}
