import { readdirSync } from 'node:fs'
import { setPriority } from 'node:os'

/** From 0, which is usual, to 19. Whoever has it gets a tenth of a core that another wants whole, and so never nothing. */
const NICE = 10

/** Lets others go first, with every thread that there is; those to come inherit it. What cannot be lowered stays as it is. */
export function giveWay(): void {
  for (const id of threads()) {
    try {
      setPriority(id, NICE)
    } catch {
      // It has ended, or is lower already.
    }
  }
}

/** Linux has a priority for each thread, others one for the process (setpriority(2), "C library/kernel differences"). */
function threads(): readonly number[] {
  if (process.platform !== 'linux') return [process.pid]
  try {
    return readdirSync('/proc/self/task').map(Number)
  } catch {
    // Without /proc: the main thread at least.
    return [process.pid]
  }
}
