// A client that openapi-typescript made lists, creates, and meets an error.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const { SERVER, KEY } = process.env;
assert(SERVER && KEY);
const api = createClient<paths>({ baseUrl: SERVER, headers: { Authorization: `Bearer ${KEY}` } });

type Schemas = components["schemas"];

async function list(type: Schemas["Channel"]): Promise<Schemas["InboxPage"]> {
  const query = { type, limit: 100 };
  const { data, error } = await api.GET("/inboxes", { params: { query } });
  if (error) throw new Error(error.error.message);
  return data;
}

const before = await list("livechat");
const { data: made } = await api.POST("/inboxes", { body: { name: "Made in TypeScript", type: "livechat" } });
assert(made);
assert(made.data.id.startsWith("inbox_"));
assert.equal(made.data.status, "active");

const after = await list("livechat");
assert.equal(after.pagination.total, before.pagination.total + 1);
assert.deepEqual(after.data.at(-1), made.data);

const id = "inbox_unknown";
const { error, response } = await api.GET("/inboxes/{id}", { params: { path: { id } } });
assert.equal(response.status, 404);
assert.equal(error?.error.code, "NOT_FOUND");

const [whatsapp] = (await list("whatsapp")).data;
assert(whatsapp);
const { data: said } = await api.GET("/messages", { params: { query: { inbox_id: whatsapp.id } } });
assert.equal(said?.data.length, whatsapp.messages_count);
for (const { direction, type, content, sender } of said?.data ?? []) {
  assert(direction === "inbound" && type === "text" && content.text && sender.name);
}

console.log(`listed ${after.pagination.total}, created ${made.data.id}`);
