// supabase-js and files, unmodified: names that addresses have to escape, and the same story with
// the bytes in a bucket when `FERROBASE__STORAGE__URL` says so.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'

import { createClient } from '@supabase/supabase-js'

import { Server } from './server.js'

const BUCKET = 'odd names'
// All that a name may have, but for the question mark: the client itself ends a path there.
const NAMES = ['plain.txt', 'with space/and more.txt', "a!b_c.d*e'f(g)h", 'x&y$z@=;:+,v.txt', 'sum+ 50.txt']
// What no object can be called (a tab, a hash and a line feed end up in no address at all), here and at the official server.
const REFUSED = ['100%25.txt', 'grün.txt', '日本', 'back\\slash%5C']

let server, service, anon, files

const text = async (blob) => Buffer.from(await blob.arrayBuffer()).toString()

function ok({ data, error }) {
  assert.equal(error, null)
  return data
}

async function fetched(url) {
  const answer = await fetch(url)
  assert.equal(answer.status, 200, `${url}: ${await answer.clone().text()}`)
  return answer.text()
}

before(async () => {
  server = await Server.create()
  service = createClient(server.ready.api_url, server.ready.service_role_key)
  anon = createClient(server.ready.api_url, server.ready.anon_key)
  ok(await service.storage.createBucket(BUCKET, { public: true }))
  files = service.storage.from(BUCKET)
})

after(async () => {
  await server?.remove()
})

describe('names that addresses escape', () => {
  for (const name of NAMES) {
    it(`${name}: up, signed, public, down`, async () => {
      ok(await files.upload(name, `this is ${name}`))
      const { signedUrl } = ok(await files.createSignedUrl(name, 60))
      assert.equal(await fetched(signedUrl), `this is ${name}`)
      const download = ok(await files.createSignedUrl(name, 60, { download: true }))
      assert.equal(await fetched(download.signedUrl), `this is ${name}`)
      const [batch] = ok(await files.createSignedUrls([name], 60))
      assert.equal(await fetched(batch.signedUrl), `this is ${name}`)
      assert.equal(await fetched(files.getPublicUrl(name).data.publicUrl), `this is ${name}`)
      assert.equal(await text(ok(await files.download(name))), `this is ${name}`)
      const { token, path } = ok(await files.createSignedUploadUrl(name, { upsert: true }))
      ok(await anon.storage.from(BUCKET).uploadToSignedUrl(path, token, 'sent by signature', { upsert: true }))
      assert.equal(await text(ok(await files.download(name))), 'sent by signature')
    })
  }

  it('a question mark: other clients escape it, and what is signed for it works everywhere', async () => {
    const name = 'what?.txt'
    const url = `${server.ready.api_url}/storage/v1/object`
    const headers = { authorization: `Bearer ${server.ready.service_role_key}`, 'content-type': 'text/plain' }
    const escaped = `${encodeURIComponent(BUCKET)}/${encodeURIComponent(name)}`
    const put = await fetch(`${url}/${escaped}`, { method: 'POST', headers, body: 'a question' })
    assert.equal(put.status, 200)
    // The list of names is a body, so the client does not cut it.
    const [batch] = ok(await files.createSignedUrls([name], 60))
    assert.equal(await fetched(batch.signedUrl), 'a question')
    const sign = async (path, body) => {
      const answer = await fetch(`${url}${path}/${escaped}`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json', 'x-upsert': 'true' },
        body: JSON.stringify(body),
      })
      assert.equal(answer.status, 200)
      return answer.json()
    }
    const { signedURL } = await sign('/sign', { expiresIn: 60 })
    const whole = `${server.ready.api_url}/storage/v1${signedURL}`
    // As it is, and as storage-js hands it on.
    assert.equal(await fetched(whole), 'a question')
    assert.equal(await fetched(encodeURI(whole)), 'a question')
    const { url: upload } = await sign('/upload/sign', {})
    for (const [address, body] of [[upload, 'one'], [encodeURI(upload), 'two']]) {
      const sent = await fetch(`${server.ready.api_url}/storage/v1${address}`, { method: 'PUT', body })
      assert.equal(sent.status, 200)
      assert.equal(await fetched(whole), body)
    }
    // A token is for its own object, however that is spelt.
    const other = whole.replace('what%3F.txt', 'what%253F.txt%3F')
    assert.equal((await fetch(other)).status, 400)
    ok(await files.remove([name]))
  })

  for (const name of REFUSED) {
    it(`${JSON.stringify(name)} is no name`, async () => {
      for (const { error } of [
        await files.upload(name, 'x'),
        await files.createSignedUrl(name, 60),
        await files.createSignedUploadUrl(name),
      ]) {
        assert.ok(error, name)
        assert.equal(error.status, 400)
      }
      const [batch] = ok(await files.createSignedUrls([name], 60))
      assert.ok(batch.error)
    })
  }
})

describe('a file’s life', () => {
  it('is written, replaced, moved, copied, listed and removed', async () => {
    const long = randomBytes(20 << 20)
    ok(await files.upload('life/long', long))
    assert.ok(Buffer.from(await ok(await files.download('life/long')).arrayBuffer()).equals(long))
    ok(await files.update('life/long', 'short now'))
    assert.equal(await text(ok(await files.download('life/long'))), 'short now')
    ok(await files.copy('life/long', 'life/copy'))
    ok(await files.move('life/long', 'life/moved'))
    const listed = ok(await files.list('life'))
    assert.deepEqual(listed.map(({ name }) => name).sort(), ['copy', 'moved'])
    assert.equal(await text(ok(await files.download('life/copy'))), 'short now')
    assert.equal(ok(await files.info('life/moved')).size, 9)
    assert.equal(ok(await files.remove(['life/copy', 'life/moved'])).length, 2)
    assert.deepEqual(ok(await files.list('life')), [])
    assert.notEqual((await files.download('life/moved')).error, null)
  })
})
