type Node = { callee: { type: string; name?: string }; arguments: unknown[] }
type Context = { report(diagnostic: { node: unknown; message: string }): void }

const rule = {
  meta: { type: 'problem' },
  create(context: Context): { NewExpression(node: Node): void } {
    return {
      NewExpression(node) {
        if (node.callee.name !== 'Date' || node.arguments.length > 0) return
        context.report({ node, message: 'pure code takes `now: Date`; it never reads the clock' })
      },
    }
  },
}

// oxlint loads a plugin by its default export.
// oxlint-disable-next-line import/no-default-export
export default { meta: { name: 'project' }, rules: { 'no-ambient-time': rule } }
