import { styleText } from 'node:util'
import type { PullReport } from './oci-client.ts'
import type { Scene } from './scenes.ts'

/** Colours only where a person looks; the same words everywhere. */
export type Screen = {
  title(text: string): void
  line(text: string): void
  /** One pull: what, what came of it, and whether that is what was promised. */
  row(scene: Scene, report: PullReport, isExpected: boolean): void
}

type Style = Parameters<typeof styleText>[0]

export function createScreen(write: (text: string) => void, isTerminal: boolean): Screen {
  const paint = (style: Style, text: string) =>
    isTerminal ? styleText(style, text, { validateStream: false }) : text
  return {
    title: (text) => write(`\n${paint('bold', text)}\n`),
    line: (text) => write(`${text}\n`),
    row({ repository, tag, about }, report, isExpected) {
      const word = report.status === 200 ? paint('green', 'served ') : paint('red', wordFor(report.status))
      const mark = isExpected ? '' : paint(['bold', 'red'], '  << NOT AS EXPECTED')
      write(`  ${word} ${`${repository}:${tag}`.padEnd(20)} ${about}${mark}\n`)
      const detail =
        report.status === 200
          ? `${report.blobs} blobs, ${report.bytes} bytes, all digests right`
          : report.message
      write(`          ${paint('dim', detail)}\n`)
    },
  }
}

function wordFor(status: number): string {
  return status === 403 ? 'refused' : status === 503 ? 'held   ' : `${status}    `
}
