import type { Check } from './scenario.ts'

export function atLeast(name: string, found: number | undefined, wanted: number, digits = 2): Check {
  const ok = found !== undefined && found >= wanted
  return { name, ok, found: found?.toFixed(digits) ?? 'not measured', wanted: `at least ${wanted}` }
}

export function atMost(name: string, found: number | undefined, wanted: number, digits = 2): Check {
  const ok = found !== undefined && found <= wanted
  return { name, ok, found: found?.toFixed(digits) ?? 'not measured', wanted: `at most ${wanted}` }
}

export function exactly(name: string, found: number, wanted: number): Check {
  return { name, ok: found === wanted, found: String(found), wanted: String(wanted) }
}
