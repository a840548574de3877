import PlainRegistry from 'prom-client/lib/registry.js'

/**
 * What is counted with, without the rest of prom-client: a gateway that metrics are pushed to, a registry over a cluster,
 * and OpenTelemetry are eighty files that a start would wait for.
 */
export { default as Counter } from 'prom-client/lib/counter.js'
export { default as Gauge } from 'prom-client/lib/gauge.js'
export { default as Histogram } from 'prom-client/lib/histogram.js'

/** Figures of the process itself are there from the first time that somebody asks for figures. */
export class Registry extends PlainRegistry {
  #completing: Promise<void> | undefined

  override async metrics(): Promise<string> {
    await this.#complete()
    return await super.metrics()
  }

  override async getMetricsAsJSON(): ReturnType<PlainRegistry['getMetricsAsJSON']> {
    await this.#complete()
    return await super.getMetricsAsJSON()
  }

  async #complete(): Promise<void> {
    this.#completing ??= addProcessMetrics(this)
    try {
      await this.#completing
    } catch (error) {
      // It may have been the moment: too many open files, say. Who asks next tries again.
      this.#completing = undefined
      throw error
    }
  }
}

async function addProcessMetrics(register: Registry): Promise<void> {
  const { collectDefaultMetrics } = await import('prom-client')
  collectDefaultMetrics({ register })
}
