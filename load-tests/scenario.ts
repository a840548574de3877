/** What every scenario is given. */
export type ScenarioInput = {
  /** Its own, removed when the run ends. */
  readonly directory: string
  readonly rounds: number
  readonly seconds: number
  readonly connections: number
  /** wrk asks faster than autocannon can, and waits for the body of a HEAD, which there is none of. */
  readonly generator: 'autocannon' | 'wrk'
  /** Small numbers of everything: whether it works, and no figures. */
  readonly isQuick: boolean
  readonly progress: (line: string) => void
}

export type Table = {
  readonly title?: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/** `low` and `high`: of the rounds. */
type Bar = { readonly label: string; readonly value: number; readonly low?: number; readonly high?: number }
type Series = { readonly label: string; readonly points: readonly (readonly [x: number, y: number])[] }

export type Plot = { readonly name: string; readonly title: string; readonly unit: string } & (
  | { readonly kind: 'bars'; readonly groups: readonly { label: string; bars: readonly Bar[] }[] }
  | { readonly kind: 'lines'; readonly xUnit: string; readonly series: readonly Series[] }
)

/** One thing that must hold, with a generous margin, wherever this is run: a ratio, a count, never a time. */
export type Check = {
  readonly name: string
  readonly ok: boolean
  readonly found: string
  readonly wanted: string
}

export type ScenarioResult = {
  readonly conditions: readonly string[]
  /** Of a program that says its figures itself, as it printed them. */
  readonly output?: string
  readonly tables: readonly Table[]
  readonly plots: readonly Plot[]
  readonly checks: readonly Check[]
}

export type Scenario = {
  readonly name: string
  /** One sentence, for --help and for the heading. */
  readonly about: string
  /** Programs that must be on PATH. */
  readonly tools: readonly string[]
  /** `all` leaves it out: it takes long, or is of one part and not of a whole pull. `every` does not. */
  readonly isByNameOnly?: true
  run(input: ScenarioInput): Promise<ScenarioResult>
}
