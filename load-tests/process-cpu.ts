import { readdir, readFile } from 'node:fs/promises'

/** Of utime and stime in /proc/PID/stat, proc(5). */
const TICKS_PER_SECOND = 100

/** User and system time of a process with all its threads, which other work on the machine does not lengthen. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** The process and all that it started. */
export async function familyOf(pid: number): Promise<readonly number[]> {
  const threads = await readdir(`/proc/${pid}/task`)
  const lists = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8')),
  )
  const children = lists.flatMap((list) =>
    list
      .split(' ')
      .filter((text) => text !== '')
      .map(Number),
  )
  return [pid, ...(await Promise.all(children.map(familyOf))).flat()]
}

/** Of the process and all that it started. */
export async function familyCpuSeconds(pid: number): Promise<number> {
  const family = await familyOf(pid)
  return (await Promise.all(family.map(cpuSeconds))).reduce((sum, one) => sum + one, 0)
}
