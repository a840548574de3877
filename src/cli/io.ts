/** What a command may touch of the process. */
export type CommandIo = {
  stdout(text: string): void
  stderr(text: string): void
  readonly env: Readonly<Record<string, string | undefined>>
  exit(code: number): void
}

/** The same on every command. */
export const EXIT = { ok: 0, refused: 1, undetermined: 2, usage: 3 } as const
