import { createServer } from 'node:http'

/**
 * What node:http alone can do: the same bytes under the same headers as the URL given answers, to every request, with no
 * parsing, routing, logging or counting. The ceiling for anything that answers through it.
 *
 * Usage: node bare-server.ts PORT URL ACCEPT
 */
const [port, url, accept] = process.argv.slice(2)
if (port === undefined || url === undefined || accept === undefined)
  throw new TypeError('usage: PORT URL ACCEPT')

const original = await fetch(url, { headers: { accept } })
const body = Buffer.from(await original.arrayBuffer())
const SENT = [
  'content-type',
  'content-length',
  'docker-content-digest',
  'docker-distribution-api-version',
  'etag',
]
const headers = Object.fromEntries(SENT.map((name) => [name, original.headers.get(name) ?? '']))

createServer((incoming, outgoing) => {
  outgoing.writeHead(200, headers)
  outgoing.end(incoming.method === 'HEAD' ? undefined : body)
}).listen(Number(port), '127.0.0.1')
