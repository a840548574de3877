import { blob } from './blob.ts'
import { coldStorm } from './cold-storm.ts'
import { herd } from './herd.ts'
import { mixed } from './mixed.ts'
import { outage } from './outage-pace.ts'
import { programs } from './programs.ts'
import { reload } from './reload.ts'
import type { Scenario } from './scenario.ts'
import { soak } from './soak.ts'
import { tagChurn } from './tag-churn.ts'
import { verification } from './verification.ts'
import { warmManifest } from './warm-manifest.ts'
import { warmWhileCold } from './warm-while-cold.ts'
import { workers } from './workers.ts'

/** Every scenario that `npm run load` knows, in the order in which `all` runs them. */
export const SCENARIOS: readonly Scenario[] = [
  warmManifest,
  mixed,
  blob,
  herd,
  tagChurn,
  verification,
  coldStorm,
  warmWhileCold,
  reload,
  outage,
  workers,
  soak,
  ...programs,
]
