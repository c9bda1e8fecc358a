// tus-js-client, unmodified: whole and in chunks, broken off and resumed, in parts, signed.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'

import { createClient } from '@supabase/supabase-js'
import { Upload } from 'tus-js-client'

import { Server } from './server.js'

const MIB = 1 << 20
const BUCKET = 'resumable'
const data = randomBytes(5 * MIB + 17)

let server, service, endpoint, headers

// The upload, when it is over; `each` sees it before it starts.
function upload(objectName, options = {}) {
  const { each, ...more } = options
  return new Promise((resolve, reject) => {
    const upload = new Upload(data, {
      endpoint,
      headers,
      chunkSize: MIB,
      retryDelays: [0, 200, 1000, 3000],
      metadata: { bucketName: BUCKET, objectName, contentType: 'application/x-noise', cacheControl: '60' },
      onError: reject,
      onSuccess: () => resolve(upload),
      ...more,
    })
    each?.(upload)
    upload.start()
  })
}

// Stops an upload after some bytes, and says where it is.
function broken(objectName, terminate = false) {
  return new Promise((resolve, reject) => {
    let stopped = false
    const upload = new Upload(data, {
      endpoint,
      headers,
      chunkSize: MIB,
      metadata: { bucketName: BUCKET, objectName },
      onError: reject,
      onChunkComplete: (_, sent) => {
        if (stopped || sent < 2 * MIB) return
        stopped = true
        upload.abort(terminate).then(() => resolve(upload.url), reject)
      },
      onSuccess: () => reject(new Error('it should have been broken off')),
    })
    upload.start()
  })
}

async function stored(name) {
  const { data: blob, error } = await service.storage.from(BUCKET).download(name)
  assert.equal(error, null)
  return Buffer.from(await blob.arrayBuffer())
}

before(async () => {
  server = await Server.create()
  service = createClient(server.ready.api_url, server.ready.service_role_key)
  endpoint = `${server.ready.api_url}/storage/v1/upload/resumable`
  headers = { authorization: `Bearer ${server.ready.service_role_key}` }
  const { error } = await service.storage.createBucket(BUCKET)
  assert.equal(error, null)
})

after(async () => {
  await server?.remove()
})

describe('tus-js-client', () => {
  for (const [name, options] of Object.entries({
    'in chunks': {},
    'in one request': { chunkSize: Infinity },
    'with the creation': { uploadDataDuringCreation: true },
    'by POST alone': { overridePatchMethod: true },
  })) {
    it(`uploads ${name}`, async () => {
      await upload(name, options)
      assert.ok((await stored(name)).equals(data))
    })
  }

  it('uploads parts side by side', async () => {
    const metadataForPartialUploads = { bucketName: BUCKET, objectName: 'parts' }
    await upload('parts', { parallelUploads: 4, metadataForPartialUploads })
    assert.ok((await stored('parts')).equals(data))
  })

  it('goes on with what was broken off', async () => {
    const uploadUrl = await broken('resumed')
    await upload('resumed', { uploadUrl })
    assert.ok((await stored('resumed')).equals(data))
  })

  it('takes an upload back', async () => {
    const address = await broken('gone', true)
    const answer = await fetch(address, { method: 'HEAD', headers: { ...headers, 'tus-resumable': '1.0.0' } })
    assert.equal(answer.status, 404)
  })

  it('uploads with a signature alone, and nothing else with it', async () => {
    const { data: signed } = await service.storage.from(BUCKET).createSignedUploadUrl('signed')
    const options = { endpoint: `${endpoint}/sign`, headers: { 'x-signature': signed.token }, retryDelays: null }
    await upload('signed', options)
    assert.ok((await stored('signed')).equals(data))
    await assert.rejects(upload('other', options), /400/)
  })

  it('is told at once what cannot be', async () => {
    const metadata = { bucketName: 'nowhere', objectName: 'x' }
    await assert.rejects(upload('x', { metadata, retryDelays: null }), /Bucket not found/)
    const nobody = { headers: {}, retryDelays: null }
    await assert.rejects(upload('x', nobody), /authorization/)
  })
})
