// The story that both client suites tell: two people use a chat app's backend through the
// official client, each alone with their own rows. ../py/test_story.py tells it in Python.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'

import { createClient } from '@supabase/supabase-js'

import { Server, sign } from './server.js'

const TABLES = ['sessions', 'messages', 'jobs', 'tasks', 'artifacts', 'sandboxes', 'tool_runs', 'checkpoints']
const SEEDED = '00000000-0000-4000-8000-000000000001'

const ada = { id: randomUUID(), email: 'ada@example.com' }
const bob = { id: randomUUID(), email: 'bob@example.com' }

let server
let asAda, asBob, anon, service

function client(key, token) {
  const options = token
    ? { accessToken: async () => token }
    : { auth: { persistSession: false, autoRefreshToken: false } }
  return createClient(server.ready.api_url, key, options)
}

// The data of an answer that must be good.
function good({ data, error, status }) {
  assert.equal(error, null, `status ${status}: ${JSON.stringify(error)}`)
  return data
}

// An answer that must be refused, in PostgREST's shape.
function refused(answer, status, code) {
  assert.ok(answer.error, `expected ${code}, got ${JSON.stringify(answer.data)}`)
  assert.deepEqual([answer.status, answer.error.code], [status, code], JSON.stringify(answer.error))
  assert.equal(typeof answer.error.message, 'string')
  for (const key of ['details', 'hint']) assert.ok(key in answer.error, `no ${key}`)
  return answer.error
}

async function makeSession(as, title) {
  const session = good(await as.from('sessions').insert({ title }).select().single())
  const messages = [
    { session_id: session.id, role: 'user', content: `${title}: make it blue` },
    { session_id: session.id, role: 'assistant', content: 'done' },
  ]
  good(await as.from('messages').insert(messages))
  const job = good(
    await as.from('jobs').insert({ session_id: session.id, type: 'generate', input: { prompt: 'blue' } }).select().single(),
  )
  good(await as.from('tasks').insert({ job_id: job.id, name: 'write files', logs: ['one', 'two'] }))
  return { session, job }
}

before(async () => {
  server = await Server.create()
  asAda = client(server.ready.anon_key, server.token(ada))
  asBob = client(server.ready.anon_key, server.token(bob))
  anon = client(server.ready.anon_key)
  service = client(server.ready.service_role_key)
})

after(async () => {
  await server?.remove()
})

describe('own rows', () => {
  let made

  before(async () => {
    made = await makeSession(asAda, 'first')
  })

  it('a row takes its owner from the token and its defaults from the table', async () => {
    assert.equal(made.session.owner, ada.id)
    assert.equal(made.session.status, 'active')
    assert.deepEqual(made.session.metadata, {})
    assert.equal(made.job.state, 'queued')
  })

  it('nested select follows foreign keys three levels down', async () => {
    const rows = good(
      await asAda
        .from('sessions')
        .select('id, title, messages(role, content), jobs(type, input, tasks(name, logs))')
        .eq('id', made.session.id)
        .order('role', { referencedTable: 'messages' }),
    )
    assert.deepEqual(rows, [
      {
        id: made.session.id,
        title: 'first',
        messages: [
          { role: 'assistant', content: 'done' },
          { role: 'user', content: 'first: make it blue' },
        ],
        jobs: [{ type: 'generate', input: { prompt: 'blue' }, tasks: [{ name: 'write files', logs: ['one', 'two'] }] }],
      },
    ])
  })

  it('embedding works towards the parent and filters with !inner', async () => {
    const tasks = good(await asAda.from('tasks').select('name, jobs(type, sessions(title))').eq('job_id', made.job.id))
    assert.deepEqual(tasks, [{ name: 'write files', jobs: { type: 'generate', sessions: { title: 'first' } } }])
    const inner = good(await asAda.from('messages').select('content, sessions!inner(title)').eq('sessions.title', 'nowhere'))
    assert.deepEqual(inner, [])
  })

  it('update answers with the new row and runs the trigger', async () => {
    const row = good(await asAda.from('sessions').update({ title: 'renamed' }).eq('id', made.session.id).select().single())
    assert.equal(row.title, 'renamed')
    assert.ok(row.updated_at > made.session.updated_at)
  })

  it('delete takes the children with it', async () => {
    const { session, job } = await makeSession(asAda, 'short-lived')
    const gone = await asAda.from('sessions').delete().eq('id', session.id)
    assert.deepEqual([gone.status, gone.data], [204, null])
    assert.deepEqual(good(await asAda.from('tasks').select().eq('job_id', job.id)), [])
  })
})

// People who sign up through the client itself, and whose tokens the data API believes.
describe('signing up, in, out and back in', () => {
  const password = 'correct horse battery'
  const email = () => `${randomUUID()}@example.com`

  it('a sign-up is a session that owns rows, and ends when it is signed out', async () => {
    const me = client(server.ready.publishable_key)
    const address = email()
    const signedUp = await me.auth.signUp({ email: address, password, options: { data: { name: 'Cleo' } } })
    assert.equal(signedUp.error, null)
    assert.equal(signedUp.data.user.user_metadata.name, 'Cleo')
    const mine = good(await me.from('sessions').insert({ title: 'signed up' }).select().single())
    assert.equal(mine.owner, signedUp.data.user.id)

    const { data: claims, error: unclaimed } = await me.auth.getClaims()
    assert.equal(unclaimed, null)
    assert.deepEqual([claims.claims.role, claims.claims.email], ['authenticated', address])

    const before = signedUp.data.session
    const refreshed = await me.auth.refreshSession()
    assert.equal(refreshed.error, null)
    assert.notEqual(refreshed.data.session.refresh_token, before.refresh_token)

    assert.equal((await me.auth.signOut()).error, null)
    const gone = await client(server.ready.publishable_key).auth.getUser(before.access_token)
    assert.equal(gone.error.name, 'AuthSessionMissingError')
    const stale = await client(server.ready.publishable_key).auth.refreshSession(refreshed.data.session)
    assert.equal(stale.error.code, 'refresh_token_not_found')

    const back = await me.auth.signInWithPassword({ email: address, password })
    assert.equal(back.error, null)
    assert.equal(good(await me.from('sessions').select().eq('id', mine.id)).length, 1)
  })

  it('a wrong password and nobody are told the same', async () => {
    const me = client(server.ready.publishable_key)
    const address = email()
    assert.equal((await me.auth.signUp({ email: address, password })).error, null)
    const wrong = await me.auth.signInWithPassword({ email: address, password: 'another one' })
    const nobody = await me.auth.signInWithPassword({ email: email(), password })
    assert.equal(wrong.error.code, 'invalid_credentials')
    assert.deepEqual([wrong.error.status, wrong.error.message], [nobody.error.status, nobody.error.message])
  })

  it('the operator makes links that sign people in once', async () => {
    const address = email()
    const made = await service.auth.admin.createUser({ email: address, password, email_confirm: true })
    assert.equal(made.error, null)
    const link = await service.auth.admin.generateLink({ type: 'magiclink', email: address })
    assert.equal(link.error, null)
    const me = client(server.ready.publishable_key)
    const verify = { type: 'magiclink', token_hash: link.data.properties.hashed_token }
    const verified = await me.auth.verifyOtp(verify)
    assert.equal(verified.error, null)
    assert.equal(verified.data.user.id, made.data.user.id)
    assert.equal((await me.auth.verifyOtp(verify)).error.code, 'otp_expired')
  })
})

describe('rows of others', () => {
  let made

  before(async () => {
    made = await makeSession(asAda, 'private')
  })

  it('cannot be seen', async () => {
    for (const table of TABLES) assert.deepEqual(good(await asBob.from(table).select()), [], table)
    assert.equal((await asBob.from('messages').select('*', { count: 'exact', head: true })).count, 0)
  })

  it('cannot be updated or deleted', async () => {
    const id = made.session.id
    assert.deepEqual(good(await asBob.from('sessions').update({ title: 'mine' }).eq('id', id).select()), [])
    assert.deepEqual(good(await asBob.from('sessions').delete().eq('id', id).select()), [])
    assert.deepEqual(good(await asBob.from('tasks').delete().eq('job_id', made.job.id).select()), [])
    assert.equal(good(await asAda.from('sessions').select('title').eq('id', id).single()).title, 'private')
  })

  it('cannot be added to', async () => {
    refused(await asBob.from('messages').insert({ session_id: made.session.id, role: 'user', content: 'hi' }), 403, '42501')
    refused(await asBob.from('jobs').insert({ session_id: made.session.id, type: 'zip', input: {} }), 403, '42501')
    refused(await asBob.from('tasks').insert({ job_id: made.job.id, name: 'x' }), 403, '42501')
  })

  it('cannot be made in their name, nor given away', async () => {
    refused(await asBob.from('sessions').insert({ title: 'forged', owner: ada.id }), 403, '42501')
    const own = good(await asBob.from('sessions').insert({ title: 'own' }).select().single())
    refused(await asBob.from('sessions').update({ owner: ada.id }).eq('id', own.id), 403, '42501')
    good(await asBob.from('sessions').delete().eq('id', own.id))
  })
})

describe('roles and keys', () => {
  it('anon sees no row and writes none', async () => {
    for (const table of TABLES) assert.deepEqual(good(await anon.from(table).select()), [], table)
    refused(await anon.from('sessions').insert({ title: 'x', owner: ada.id }), 401, '42501')
  })

  it('service_role sees everything', async () => {
    const titles = good(await service.from('sessions').select('title')).map((row) => row.title)
    assert.ok(titles.includes('seeded') && titles.includes('private'), titles.join())
  })

  it('the new keys mean the same as the legacy ones', async () => {
    const { publishable_key: publishable, secret_key: secret } = server.ready
    assert.match(publishable, /^sb_publishable_/)
    assert.match(secret, /^sb_secret_/)
    assert.deepEqual(good(await client(publishable).from('sessions').select()), [])
    assert.equal(good(await client(secret).from('sessions').select().eq('id', SEEDED)).length, 1)
    const own = good(await client(publishable, server.token(ada)).from('sessions').select('owner'))
    assert.ok(own.length > 0 && own.every((row) => row.owner === ada.id))
  })

  it('a wrong key is refused, and none is nobody', async () => {
    const url = `${server.ready.api_url}/rest/v1/sessions`
    // As the Supabase CLI's gateway, `dev` takes a request without a key for anon's.
    assert.deepEqual(await (await fetch(url)).json(), [])
    assert.equal((await fetch(url, { headers: { apikey: 'sb_publishable_wrong' } })).status, 401)
    const forged = sign({ role: 'service_role', exp: 4102444800 }, 'another secret of thirty-two characters')
    assert.equal((await fetch(url, { headers: { apikey: forged } })).status, 401)
  })

  it('expired and forged tokens are refused', async () => {
    const past = Math.floor(Date.now() / 1000) - 3600
    const expired = client(server.ready.anon_key, server.token(ada, { exp: past }))
    refused(await expired.from('sessions').select(), 401, 'PGRST303')
    const forged = client(server.ready.anon_key, sign({ sub: ada.id, role: 'authenticated' }, 'x'.repeat(40)))
    refused(await forged.from('sessions').select(), 401, 'PGRST301')
  })

  it('a table without row-level security is closed to anon and reported at start', async () => {
    refused(await anon.from('forgotten').select(), 401, '42501')
    assert.equal(good(await service.from('forgotten').select()).length, 1)
    assert.match(server.output, /forgotten/)
  })
})

describe('reading', () => {
  let session

  before(async () => {
    session = good(await asBob.from('sessions').insert({ title: 'reading', metadata: { theme: 'dark', tags: ['a'] } }).select().single())
    const rows = Array.from({ length: 25 }, (_, i) => ({
      session_id: session.id,
      role: i % 2 ? 'assistant' : 'user',
      content: `message ${String(i).padStart(2, '0')}`,
    }))
    good(await asBob.from('messages').insert(rows))
  })

  after(async () => {
    good(await asBob.from('sessions').delete().eq('id', session.id))
  })

  const messages = (columns = 'content', options) => asBob.from('messages').select(columns, options).eq('session_id', session.id)
  const contents = (answer) => good(answer).map((row) => row.content)

  it('filters', async () => {
    assert.equal(good(await messages().eq('role', 'user')).length, 13)
    assert.equal(good(await messages().neq('role', 'user')).length, 12)
    assert.deepEqual(contents(await messages().in('content', ['message 03', 'message, "04"'])), ['message 03'])
    assert.equal(good(await messages().ilike('content', 'MESSAGE 1%')).length, 10)
    assert.deepEqual(contents(await messages().gt('content', 'message 22').order('content')), ['message 23', 'message 24'])
    assert.deepEqual(contents(await messages().or('content.eq.message 01,and(role.eq.user,content.gte.message 24)').order('content')), [
      'message 01',
      'message 24',
    ])
    assert.equal(good(await messages().not('content', 'like', 'message 0%')).length, 15)
    const dark = asBob.from('sessions').select('title')
    assert.deepEqual(good(await dark.contains('metadata', { theme: 'dark' })), [{ title: 'reading' }])
    assert.deepEqual(good(await asBob.from('sessions').select('theme:metadata->>theme').eq('metadata->>theme', 'dark')), [{ theme: 'dark' }])
    assert.deepEqual(good(await asAda.from('tasks').select('name').contains('logs', ['two']).limit(1)), [{ name: 'write files' }])
  })

  it('orders, limits and ranges', async () => {
    assert.deepEqual(contents(await messages().order('content', { ascending: false }).limit(2)), ['message 24', 'message 23'])
    assert.deepEqual(contents(await messages().order('content').range(10, 11)), ['message 10', 'message 11'])
  })

  it('counts', async () => {
    const whole = await messages('*', { count: 'exact', head: true })
    assert.deepEqual([whole.status, whole.count, whole.data], [200, 25, null])
    const page = await messages('content', { count: 'exact' }).order('content').range(0, 4)
    assert.deepEqual([page.status, page.count, page.data.length], [206, 25, 5])
    const past = await messages('content', { count: 'exact' }).range(100, 109)
    refused(past, 416, 'PGRST103')
  })

  it('single and maybeSingle', async () => {
    assert.deepEqual(good(await messages().eq('content', 'message 07').single()), { content: 'message 07' })
    assert.equal(good(await messages().eq('content', 'nothing').maybeSingle()), null)
    const error = refused(await messages().single(), 406, 'PGRST116')
    assert.match(error.details, /25 rows/)
  })

  it('csv', async () => {
    const text = good(await messages('role,content').order('content').limit(2).csv())
    // As Postgres writes a row: text with a space in it is quoted.
    assert.equal(text, 'role,content\nuser,"message 00"\nassistant,"message 01"')
  })
})

describe('writing', () => {
  it('upsert merges, or leaves what is there', async () => {
    const id = randomUUID()
    const upsert = (title, options) => asAda.from('sessions').upsert({ id, title }, options).select()
    assert.equal(good(await upsert('one'))[0].title, 'one')
    assert.equal(good(await upsert('two'))[0].title, 'two')
    assert.deepEqual(good(await upsert('three', { ignoreDuplicates: true })), [])
    assert.equal(good(await asAda.from('sessions').select('title').eq('id', id).single()).title, 'two')
    good(await asAda.from('sessions').delete().eq('id', id))
  })

  it('a bulk insert with different keys fills in defaults when asked', async () => {
    const rows = [{ title: 'bulk' }, { title: 'bulk', status: 'archived' }]
    const made = good(await asAda.from('sessions').insert(rows, { defaultToNull: false }).select('status').order('status'))
    assert.deepEqual(made, [{ status: 'active' }, { status: 'archived' }])
    const gone = await asAda.from('sessions').delete({ count: 'exact' }).eq('title', 'bulk')
    assert.equal(gone.count, 2)
  })

  it('functions are called by POST and GET', async () => {
    const { session } = await makeSession(asAda, 'counted')
    assert.equal(good(await asAda.rpc('add_up', { a: 2, b: 3 })), 5)
    assert.equal(good(await asAda.rpc('add_up', { a: 2, b: 3 }, { get: true })), 5)
    assert.deepEqual(good(await asAda.rpc('session_summary', { session: session.id })), [{ messages: 2, jobs: 1 }])
    assert.deepEqual(good(await asBob.rpc('session_summary', { session: session.id }).single()), { messages: 0, jobs: 0 })
    assert.deepEqual(good(await asAda.rpc('who_am_i')), { uid: ada.id, role: 'authenticated', email: ada.email })
    assert.deepEqual(good(await anon.rpc('who_am_i')), { uid: null, role: 'anon', email: null })
  })
})

describe('transactions', () => {
  const requests = (title) => [
    { id: 'session', method: 'POST', path: '/sessions?select=id', headers: { Prefer: 'return=representation' }, body: { title } },
    {
      method: 'POST',
      path: '/messages',
      body: { session_id: { $ref: 'session.0.id' }, role: 'user', content: 'make it blue' },
    },
    { id: 'read', method: 'GET', path: '/sessions?id=eq.{$ref:session.0.id}&select=title,messages(content)' },
  ]

  it('one call writes a session with its first message', async () => {
    const data = good(await asAda.from('tx').insert(requests('together')))
    assert.deepEqual(data.map((answer) => answer.status), [201, 201, 200])
    assert.deepEqual(data[2].body, [{ title: 'together', messages: [{ content: 'make it blue' }] }])
    // The same with .select(), which makes the rows known to TypeScript.
    const selected = good(await asAda.from('tx').insert(requests('together')).select())
    assert.deepEqual(selected[2].body, data[2].body)
    assert.notEqual(selected[0].body[0].id, data[0].body[0].id)
    assert.equal(good(await asAda.from('sessions').select().eq('title', 'together')).length, 2)
  })

  it('what a policy refuses undoes all, and the error has the index', async () => {
    const { id } = (await makeSession(asBob, 'foreign')).session
    const intruding = [
      ...requests('undone'),
      { method: 'POST', path: '/messages', body: { session_id: id, role: 'user', content: 'hi' } },
    ]
    const error = refused(await asAda.from('tx').insert(intruding), 403, '42501')
    assert.equal(error.index, 3)
    assert.deepEqual(good(await asAda.from('sessions').select().eq('title', 'undone')), [])
  })

  it('functions can be called, with what another one returned', async () => {
    const call = { method: 'POST', path: '/rpc/add_up', body: { a: 1, b: 2 } }
    const next = { method: 'POST', path: '/rpc/add_up', body: { a: { $ref: '0.body' }, b: 40 } }
    assert.deepEqual(good(await anon.from('tx').insert([call, next])).map((answer) => answer.body), [3, 43])
  })

  it('one more than a hundred requests is refused', async () => {
    const many = Array.from({ length: 101 }, () => ({ method: 'GET', path: '/sessions?limit=0' }))
    refused(await asAda.from('tx').insert(many), 413, 'FB5003')
    assert.equal(good(await asAda.from('tx').insert(many.slice(1))).length, 100)
  })
})

describe('idempotency keys', () => {
  it('a write that comes twice happens once', async () => {
    const key = randomUUID()
    const add = (as, title) => as.from('sessions').insert({ title }).select().single().setHeader('Idempotency-Key', key)
    const [first, second] = await Promise.all([add(asAda, 'once'), add(asAda, 'once')])
    assert.equal(first.status, 201)
    assert.deepEqual(good(second), good(first))
    assert.equal(good(await asAda.from('sessions').select().eq('title', 'once')).length, 1)
    // Another request under the key is a mistake; another person has keys of their own.
    refused(await add(asAda, 'twice'), 422, 'FB5102')
    assert.equal(good(await add(asBob, 'once')).owner, bob.id)
  })

  it('works for updates, deletes, functions and transactions', async () => {
    const { session } = await makeSession(asAda, 'keyed')
    const touch = asAda.from('sessions')
    for (const write of [
      () => touch.update({ title: 'keyed 2' }).eq('id', session.id).select(),
      () => touch.upsert({ id: session.id, title: 'keyed 3' }).select(),
      () => asAda.from('tx').insert([{ method: 'POST', path: '/sessions', body: { title: 'in tx' } }]),
      () => touch.delete().eq('id', session.id).select(),
    ]) {
      const key = randomUUID()
      const first = good(await write().setHeader('Idempotency-Key', key))
      assert.deepEqual(good(await write().setHeader('Idempotency-Key', key)), first)
    }
    assert.equal(good(await touch.select().eq('title', 'in tx')).length, 1)
  })
})

describe('errors', () => {
  it('name what is not there', async () => {
    refused(await asAda.from('sesions').select(), 404, 'PGRST205')
    refused(await asAda.from('sessions').select('nothing'), 400, '42703')
    refused(await asAda.from('sessions').select('*, nothing(*)'), 400, 'PGRST200')
    refused(await asAda.from('sessions').insert({ nothing: 1 }), 400, 'PGRST204')
    refused(await asAda.rpc('add_upp', { a: 1, b: 2 }), 404, 'PGRST202')
    refused(await asAda.schema('secrets').from('sessions').select(), 406, 'PGRST106')
  })

  it('carry the code of PostgreSQL', async () => {
    refused(await asAda.from('sessions').select().eq('id', 'not-a-uuid'), 400, '22P02')
    refused(await asAda.from('sessions').insert({ status: 'odd' }), 400, '23514')
    const { session } = await makeSession(asAda, 'errors')
    refused(await asAda.from('sessions').insert({ id: session.id }), 409, '23505')
    refused(await asAda.from('messages').insert({ session_id: session.id, role: 'user' }), 400, '23502')
    refused(await service.from('messages').insert({ session_id: randomUUID(), role: 'user', content: 'x' }), 409, '23503')
  })
})

describe('a crash', () => {
  it('loses nothing that was acknowledged, and keeps the keys', async () => {
    const { session } = await makeSession(asAda, 'survivor')
    const keys = server.ready
    await server.kill()
    await server.start()
    for (const key of ['api_url', 'anon_key', 'service_role_key', 'publishable_key', 'secret_key', 'jwt_secret']) {
      assert.equal(server.ready[key], keys[key], key)
    }
    const row = good(await asAda.from('sessions').select('title, messages(content), jobs(tasks(name))').eq('id', session.id).single())
    assert.equal(row.title, 'survivor')
    assert.equal(row.messages.length, 2)
    assert.deepEqual(row.jobs, [{ tasks: [{ name: 'write files' }] }])
    assert.deepEqual(good(await asBob.from('sessions').select().eq('id', session.id)), [])
  })

  it('a clean stop ends well', async () => {
    assert.deepEqual(await server.stop(), { code: 0, signal: null })
  })
})
