// GET /inboxes as a plain Fastify service, as its documentation teaches: a schema for the query and for the answer (which
// is then written by code made for it), statements prepared once, one worker process a core, one log line a request.

import cluster from 'node:cluster'
import { createHash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import Database from 'better-sqlite3'
import Fastify from 'fastify'

const query = {
  type: 'object',
  properties: {
    type: { type: 'string', enum: ['whatsapp', 'instagram', 'livechat', 'telegram'] },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'] },
    limit: { type: 'integer', minimum: 1, maximum: 100, default: 50 },
    offset: { type: 'integer', minimum: 0, default: 0 }
  }
}

const inbox = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    name: { type: 'string' },
    type: { type: 'string' },
    status: { type: 'string' },
    phone_number: { type: 'string' },
    instagram_account_id: { type: 'string' },
    created_at: { type: 'string' },
    messages_count: { type: 'integer' }
  }
}

const page = {
  type: 'object',
  properties: {
    success: { type: 'boolean' },
    data: { type: 'array', items: inbox },
    pagination: {
      type: 'object',
      properties: { total: { type: 'integer' }, limit: { type: 'integer' }, offset: { type: 'integer' } }
    }
  }
}

function serve (file, port, host) {
  const db = new Database(file)
  db.pragma('journal_mode = WAL')
  const findKey = db.prepare(`
    SELECT k.account_id, k.scopes, k.expires_at, k.revoked_at FROM api_key_hashes h
    JOIN api_keys k ON k.account_id = h.account_id AND k.id = h.key_id WHERE h.key_hash = ?`)
  const matching = `
    FROM inboxes WHERE account_id = @account AND (@type IS NULL OR type = @type) AND (@status IS NULL OR status = @status)`
  const count = db.prepare(`SELECT COUNT(*) ${matching}`).pluck()
  const list = db.prepare(`
    SELECT id, name, type, status, phone_number, instagram_account_id, created_at, messages_count ${matching}
    ORDER BY created_at, id LIMIT @limit OFFSET @offset`)
  const read = db.transaction(wanted => ({ total: count.get(wanted), rows: list.all(wanted) }))

  const app = Fastify({ logger: true, disableRequestLogging: true })

  app.addHook('onResponse', async (request, reply) => {
    request.log.info({
      method: request.method,
      path: request.routeOptions.url,
      status: reply.statusCode,
      ms: reply.elapsedTime
    }, 'request')
  })

  app.decorateRequest('account', '')
  app.addHook('onRequest', async (request, reply) => {
    const key = request.headers.authorization?.match(/^bearer (.+)$/i)?.[1] ?? ''
    const known = findKey.get(createHash('sha256').update(key).digest())
    const expired = known?.expires_at != null && known.expires_at <= Date.now() / 1000
    if (known === undefined || known.revoked_at != null || expired || !known.scopes.split(',').includes('read')) {
      return reply.code(401).send({ success: false, error: { code: 'UNAUTHORIZED', message: 'Invalid or expired API key' } })
    }
    request.account = known.account_id
  })

  app.get('/inboxes', { schema: { querystring: query, response: { 200: page } } }, async request => {
    const { type = null, status = null, limit, offset } = request.query
    const { total, rows } = read({ account: request.account, type, status, limit, offset })
    const data = rows.map(row => ({
      ...row,
      // What does not apply is absent.
      phone_number: row.phone_number ?? undefined,
      instagram_account_id: row.instagram_account_id ?? undefined,
      created_at: new Date(row.created_at * 1000).toISOString().replace('.000Z', 'Z')
    }))
    return { success: true, data, pagination: { total, limit, offset } }
  })

  return app.listen({ port, host })
}

const [file, port] = process.argv.slice(2)
if (cluster.isPrimary) {
  for (let worker = 0; worker < availableParallelism(); worker++) cluster.fork()
  process.on('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers)) worker.kill()
    process.exit(0)
  })
} else {
  await serve(file, Number(port), '127.0.0.1')
}
