import { readFile } from 'node:fs/promises'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/load.ts'
import { problemText } from '../policy/problem.ts'
import type { CommandIo } from './io.ts'

/** The configuration, or undefined after every problem of it has been printed. */
export async function configure(path: string | undefined, io: CommandIo): Promise<Config | undefined> {
  const loaded = await loadConfig({
    ...(path === undefined ? {} : { path }),
    env: io.env,
    readFile: (file) => readFile(file, 'utf8'),
  })
  if (loaded.ok) return loaded.config
  io.stderr(loaded.problems.map((problem) => `portcullis: ${problemText(problem)}\n`).join(''))
  return undefined
}
