"""A client that openapi-generator made lists, creates, and meets an error."""

import os

import inboxd_client as client

configuration = client.Configuration(host=os.environ["SERVER"], access_token=os.environ["KEY"])
connection = client.ApiClient(configuration)
api = client.InboxesApi(connection)

before = api.list_inboxes(type=client.Channel.LIVECHAT, limit=1)
assert before.pagination.limit == 1 and before.data[0].type == client.Channel.LIVECHAT

body = client.NewLivechat(name="Made in Python", type="livechat")
made = api.create_inbox(client.NewInbox(body)).data
assert made.id.startswith("inbox_") and made.status == client.InboxStatus.ACTIVE
assert made.created_at.tzinfo is not None and made.messages_count == 0

after = api.list_inboxes(type=client.Channel.LIVECHAT, limit=100)
assert after.pagination.total == before.pagination.total + 1
assert made in after.data

try:
    api.get_inbox("inbox_unknown")
except client.ApiException as error:
    assert error.status == 404, error
else:
    raise AssertionError("an unknown inbox was found")

[whatsapp] = api.list_inboxes(type=client.Channel.WHATSAPP).data
said = client.MessagesApi(connection).list_messages(inbox_id=whatsapp.id).data
assert len(said) == whatsapp.messages_count and all(message.content.text for message in said)
assert said[0].direction == "inbound" and said[0].sender.name

print(f"listed {after.pagination.total}, created {made.id}")
