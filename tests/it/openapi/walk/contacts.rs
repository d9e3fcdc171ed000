//! The answers that the document promises of contacts.

use super::{Step, Walk, known, too_large};
use reqwest::Method;
use serde_json::json;

/// Contacts with an external id and a number each, which cannot be merged.
pub(super) const CONTACTS: [(&str, &str); 2] = [("17", "+628333333"), ("18", "+628444444")];

impl Walk {
    pub(super) fn contacts(&self) -> Vec<Step> {
        let [one, other] = &self.contacts;
        let (key, reader) = (&self.sender, &self.reader);
        let real = format!("/contacts/{one}");
        let mut steps = self.reads("/contacts", "/contacts", reader, key);
        steps.extend(self.reads("/contacts/{id}", &real, reader, key));
        steps.push(known("/contacts", self.app.get("/contacts").key(reader)));
        steps.push(known("/contacts/{id}", self.app.get(&real).key(reader)));
        let more = [
            ("/contacts", "/contacts?q=628&limit=1", 200),
            ("/contacts", "/contacts?phone=628333333", 200),
            ("/contacts", "/contacts?cursor=nonsense", 400),
            ("/contacts/{id}", "/contacts/contact_x", 404),
        ];
        steps.extend(more.map(|(path, real, status)| {
            let call = self.app.get(real).key(reader);
            Step(Method::GET, path, format!(" {real}"), call, status)
        }));
        let merge = format!("{real}/merge");
        let (path, one_path, merge_path) = ("/contacts", "/contacts/{id}", "/contacts/{id}/merge");
        let unknown = "/contacts/contact_x";
        let changes = [
            (
                Method::POST,
                path,
                path,
                json!({"external_id": "19", "attributes": {"a": 1}}),
                201,
            ),
            (
                Method::POST,
                path,
                path,
                json!({"external_id": "17", "name": "Ayu"}),
                200,
            ),
            (Method::POST, path, path, json!({}), 400),
            (
                Method::POST,
                path,
                path,
                json!({"external_id": "17", "phone": CONTACTS[1].1}),
                409,
            ),
            (
                Method::PATCH,
                one_path,
                &real,
                json!({"note": "VIP", "attributes": {"b": true}}),
                200,
            ),
            (
                Method::PATCH,
                one_path,
                &real,
                json!({"phone": "+628555555"}),
                400,
            ),
            (
                Method::PATCH,
                one_path,
                &real,
                json!({"external_id": "18"}),
                409,
            ),
            (Method::PATCH, one_path, unknown, json!({}), 404),
            (
                Method::POST,
                merge_path,
                &merge,
                json!({"from": other}),
                409,
            ),
            (Method::POST, merge_path, &merge, json!({"from": one}), 400),
            (
                Method::POST,
                merge_path,
                &merge,
                json!({"from": "contact_x"}),
                404,
            ),
            (
                Method::POST,
                merge_path,
                &merge,
                json!({"from": self.mergeable}),
                200,
            ),
        ];
        steps.extend(
            changes
                .into_iter()
                .map(|(method, path, real, body, status)| {
                    let call = self.app.call(method.clone(), real).key(key).json(&body);
                    Step(method, path, format!(" {body}"), call, status)
                }),
        );
        for (method, path, real) in [
            (Method::POST, path, path),
            (Method::PATCH, one_path, real.as_str()),
            (Method::POST, merge_path, merge.as_str()),
        ] {
            let call = || self.app.call(method.clone(), real);
            let body = json!({});
            for (what, call, status) in [
                (" no key", call().json(&body), 401),
                (" reader", call().json(&body).key(reader), 403),
                (" large", call().raw_json(too_large()).key(key), 413),
                (" no type", call().body("{}").key(key), 415),
            ] {
                steps.push(Step(method.clone(), path, what.to_owned(), call, status));
            }
        }
        steps
    }
}
