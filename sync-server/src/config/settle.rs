//! Which rules settle conflicts on the server, as the configuration says it.
//!
//! Owns the names of rules and their options, and that what can't hold is refused at the start. What a rule answers is `sync_core::resolver`'s.

use serde::{Deserialize, Serialize};
use sync_core::id::DocumentName;
use sync_core::resolver::{BuiltIn, Policies, Policy, Rule};
use sync_core::scope::NamePattern;

/// A rule that settles conflicts at a place of some documents. Of several that hold there the first counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settle {
    /// Which documents, as a pattern of their names: `shop/**`.
    pub documents: String,
    /// Which place in them: `stock/*/quantity`.
    pub path: String,
    /// The rule's name: `sumDeltas`. With `human` people decide, and nothing is written.
    pub policy: String,
    /// Of `order`: from the first state to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// Of `concat`: what stands between each two texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Of `prefer`: whose side counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Of `prefer`, in place of an author: what a role is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Who has the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authors: Option<Vec<String>>,
}

impl Settle {
    fn rule(&self) -> Result<Rule, String> {
        let Self { values, separator, author, role, authors, .. } = self;
        let options = [
            ("values", values.is_some()),
            ("separator", separator.is_some()),
            ("author", author.is_some()),
            ("role", role.is_some()),
            ("authors", authors.is_some()),
        ];
        let takes: &[&str] = match self.policy.as_str() {
            "order" => &["values"],
            "concat" => &["separator"],
            "prefer" => &["author", "role", "authors"],
            _ => &[],
        };
        if let Some((other, _)) = options.iter().find(|(name, given)| *given && !takes.contains(name)) {
            return Err(format!("the rule {:?} takes no {other}", self.policy));
        }
        Ok(match self.policy.as_str() {
            "human" => Rule::people(),
            "latest" => BuiltIn::Latest.into(),
            "first" => BuiltIn::First.into(),
            "max" => BuiltIn::Max.into(),
            "min" => BuiltIn::Min.into(),
            "union" => BuiltIn::Union.into(),
            "concat" => BuiltIn::Concat(separator.clone().unwrap_or_default()).into(),
            "sumDeltas" => BuiltIn::SumDeltas.into(),
            "order" => match values {
                Some(values) if values.len() >= 2 => BuiltIn::order(values.clone()).into(),
                _ => return Err("the rule \"order\" takes two or more values".into()),
            },
            "text3way" => BuiltIn::Text3way.into(),
            "mergeMaps" => BuiltIn::MergeMaps.into(),
            "prefer" => match (author, role, authors) {
                (Some(author), None, None) => BuiltIn::Prefer(author.clone()).into(),
                (None, Some(role), Some(authors)) if !authors.is_empty() => {
                    BuiltIn::prefer_role(role, authors.clone()).into()
                }
                _ => return Err("the rule \"prefer\" takes an author, or a role and its authors".into()),
            },
            "reject" => BuiltIn::Reject.into(),
            other => return Err(format!("there is no rule {other:?}")),
        })
    }
}

/// The rules that settle conflicts, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settling(Vec<(NamePattern, Policy)>);

impl Settling {
    /// Refuses what can't hold anywhere, and what is no rule.
    pub(crate) fn new(rules: &[Settle]) -> Result<Self, String> {
        let parse = |(at, settle): (usize, &Settle)| {
            let wrong = |e: String| format!("rule {}: {e}", at + 1);
            let documents = NamePattern::parse(&settle.documents).map_err(|e| wrong(e.to_string()))?;
            let rule = settle.rule().map_err(wrong)?;
            Ok((documents, Policy::new(settle.path.as_str(), rule).map_err(|e| wrong(e.to_string()))?))
        };
        rules.iter().enumerate().map(parse).collect::<Result<_, String>>().map(Self)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of them is for a document.
    pub(crate) fn concerns(&self, document: &DocumentName) -> bool {
        self.0.iter().any(|(documents, _)| documents.matches(document))
    }

    /// Those for a document.
    pub(crate) fn policies(&self, document: &DocumentName) -> Policies {
        let those = self.0.iter().filter(|(documents, _)| documents.matches(document));
        Policies::new(those.map(|(_, policy)| policy.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rule_or_can_not_hold_is_refused_with_its_reason() {
        let settle = |documents: &str, path: &str, policy: &str| Settle {
            documents: documents.into(),
            path: path.into(),
            policy: policy.into(),
            ..Settle::default()
        };
        let good = settle("shop/**", "stock/*/quantity", "sumDeltas");
        assert!(Settling::new(&[good.clone(), settle("**", "**", "human")]).is_ok());
        let refused = |settle: Settle, why: &str| {
            let said = Settling::new(&[good.clone(), settle]).expect_err("it can't hold");
            assert!(said.starts_with("rule 2: ") && said.contains(why), "{said}");
        };
        refused(settle("shop/**", "stock/*", "sumDelta"), "there is no rule \"sumDelta\"");
        refused(settle("shop/a*", "stock/*", "max"), "`shop/a*`");
        refused(settle("shop/**", "stock/app*", "max"), "can't match");
        refused(settle("shop/**", "$settled/*", "max"), "the engine's own");
        refused(settle("", "stock/*", "max"), "no pattern");
        refused(settle("shop/**", "stock/*", "order"), "two or more values");
        refused(settle("shop/**", "stock/*", "prefer"), "takes an author");
        let lead = Settle { role: Some("lead".into()), ..settle("shop/**", "stock/*", "prefer") };
        refused(lead.clone(), "a role and its authors");
        let ann = Some(vec!["ann".into()]);
        refused(Settle { authors: ann.clone(), author: Some("ann".into()), ..lead.clone() }, "a role and its authors");
        refused(Settle { authors: Some(Vec::new()), ..lead.clone() }, "a role and its authors");
        refused(Settle { authors: ann.clone(), ..good.clone() }, "takes no authors");
        let settling = Settling::new(&[Settle { authors: ann, ..lead }]).expect("it holds");
        let name = DocumentName::parse("shop/7").expect("a name");
        let declared = sync_core::resolver::Declaration::of(&settling.policies(&name)).expect("a rule");
        assert_eq!(declared.encode(), "1\nstock/*\tprefer@1\trole\tlead\tann");
        refused(Settle { author: Some("ann".into()), ..good.clone() }, "takes no author");
    }
}
