// A client that openapi-typescript made lists, creates, and meets an error.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const { SERVER, KEY } = process.env;
assert(SERVER && KEY);
const api = createClient<paths>({ baseUrl: SERVER, headers: { Authorization: `Bearer ${KEY}` } });

async function list(): Promise<components["schemas"]["InboxPage"]> {
  const query = { type: "livechat", limit: 100 } as const;
  const { data, error } = await api.GET("/inboxes", { params: { query } });
  if (error) throw new Error(error.error.message);
  return data;
}

const before = await list();
const { data: made } = await api.POST("/inboxes", { body: { name: "Made in TypeScript", type: "livechat" } });
assert(made);
assert(made.data.id.startsWith("inbox_"));
assert.equal(made.data.status, "active");

const after = await list();
assert.equal(after.pagination.total, before.pagination.total + 1);
assert.deepEqual(after.data.at(-1), made.data);

const id = "inbox_unknown";
const { error, response } = await api.GET("/inboxes/{id}", { params: { path: { id } } });
assert.equal(response.status, 404);
assert.equal(error?.error.code, "NOT_FOUND");

console.log(`listed ${after.pagination.total}, created ${made.data.id}`);
