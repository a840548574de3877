/**
 * node:http without an `import` of its values: that reads every one of its exports, and three of them are WebSocket and its
 * events, for which Node loads its whole client of fetch. That takes as long as half of Node's own start.
 */
export const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http')
