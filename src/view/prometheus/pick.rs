//! What of a page was asked for: `?collect[]=` and `?match[]=`.
//!
//! In: a request's query. Out: a [`Pick`]: sets, and selectors of which one must fit. Equal questions are equal picks, so
//! that they share a body; a page without a filter costs nothing more. A filter that fits nothing is no error. Next:
//! [`plan`](super::plan) for families, [`encoder`](super::encoder) for series.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::labels::pairs;
use super::set::{Set, Sets, UnknownSet};
use crate::store::query::matcher::Matcher;
use crate::store::query::selector::{Selector, SelectorError};
use crate::view::api::Query;

/// The most selectors of one request.
pub const MAX_SELECTORS: usize = 16;
/// The most regular expressions in all of them: each takes memory when it is compiled.
pub const MAX_REGEXES: usize = 16;
/// The label that holds a metric's name.
const NAME: &str = "__name__";

/// Why a filter cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// A set that there is not. Write the nearest.
    #[error("collect[]: {0}")]
    Set(#[from] UnknownSet),
    /// A selector that cannot be read. Correct it at the byte.
    #[error("match[]: {0}")]
    Selector(#[from] SelectorError),
    /// More selectors than are compared. Ask with fewer.
    #[error("there are more than {MAX_SELECTORS} match[] or more than {MAX_REGEXES} regular expressions in them")]
    TooMany,
}

/// What of a page is asked for. Cheap to clone; the default is all of it.
#[derive(Debug, Clone, Default)]
pub struct Pick(Option<Arc<Picked>>);

#[derive(Debug)]
struct Picked {
    sets: Option<Sets>,
    /// Those of them that were written by their names.
    named: Sets,
    /// As they were written, ascending: what the pick is compared by.
    texts: Vec<String>,
    selectors: Vec<Vec<Matcher>>,
}

impl Pick {
    /// Reads a request's query. `collect[]` and `collect` may be repeated and are lists of sets, `default` and `all` among
    /// them; so may `match[]`.
    ///
    /// # Errors
    /// [`PickError`] for an unknown set, a selector that cannot be read, or too many of them.
    pub fn parse(query: Option<&str>) -> Result<Self, PickError> {
        if query.is_none_or(|query| !query.contains("collect") && !query.contains("match")) {
            return Ok(Self::default());
        }
        let query = Query::parse(query);
        let (mut sets, mut named) = (None, Sets::NONE);
        let words = query.all("collect[]").chain(query.all("collect")).flat_map(|list| list.split(','));
        for word in words {
            let more = match word.trim() {
                "all" => Sets::all(),
                "default" => Sets::default(),
                name => {
                    let of_name = Set::parse(name)?;
                    named = named.with(of_name);
                    of_name
                }
            };
            sets = Some(sets.unwrap_or(Sets::NONE).with(more));
        }
        let mut texts: Vec<String> = Vec::new();
        for text in query.all("match[]") {
            if texts.len() == MAX_SELECTORS {
                return Err(PickError::TooMany);
            }
            texts.push(text.to_owned());
        }
        texts.sort();
        texts.dedup();
        let mut selectors = Vec::with_capacity(texts.len());
        let mut regexes = 0;
        for text in &texts {
            let Selector { name, mut matchers } = Selector::parse(text)?;
            regexes += matchers.iter().filter(|matcher| matcher.is_regex()).count();
            if regexes > MAX_REGEXES {
                return Err(PickError::TooMany);
            }
            matchers.extend(name.map(|name| Matcher::equal(NAME, &name)));
            selectors.push(matchers);
        }
        if sets.is_none() && selectors.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self(Some(Arc::new(Picked { sets, named, texts, selectors }))))
    }

    /// Whether families of a set are asked for.
    #[must_use]
    pub fn has(&self, set: Set) -> bool {
        self.0.as_ref().and_then(|picked| picked.sets).is_none_or(|sets| sets.has(set))
    }

    /// Whether a set is asked for by its name.
    #[must_use]
    pub fn names(&self, set: Set) -> bool {
        self.0.as_ref().is_some_and(|picked| picked.named.has(set))
    }

    /// Whether a series of this name may be asked for.
    #[must_use]
    pub fn may_show(&self, name: &str) -> bool {
        let Some(selectors) = self.selectors() else { return true };
        selectors.iter().any(|matchers| of_name(matchers).all(|matcher| matcher.fits(name)))
    }

    /// Whether series are chosen one by one; otherwise all series of the families are asked for.
    #[must_use]
    pub fn chooses_series(&self) -> bool {
        self.selectors().is_some()
    }

    /// Whether a series is asked for, given its rendered labels in two parts.
    #[must_use]
    pub fn fits(&self, name: &str, block: &str, more: &str) -> bool {
        let Some(selectors) = self.selectors() else { return true };
        selectors.iter().any(|matchers| {
            matchers.iter().all(|matcher| {
                if matcher.label() == NAME {
                    return matcher.fits(name);
                }
                let label = pairs(block).chain(pairs(more)).find(|(label, _)| *label == matcher.label());
                matcher.fits(label.as_ref().map_or("", |(_, value)| value))
            })
        })
    }

    /// Of a page in either text format, what is asked for: for pages that somebody else has written. What is said of a
    /// family goes with its last series.
    #[must_use]
    pub fn filter_text(&self, text: String) -> String {
        if !self.chooses_series() {
            return text;
        }
        let mut out = String::new();
        let mut said = String::new();
        for line in text.lines() {
            if line.starts_with('#') {
                // A family's first line of comment follows the samples of the one before.
                if line.starts_with("# HELP ") {
                    said.clear();
                }
                said.extend([line, "\n"]);
                continue;
            }
            let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
            let (name, block) = series.split_once('{').unwrap_or((series, ""));
            if self.fits(name, block.strip_suffix('}').unwrap_or(block), "") {
                out.push_str(&said);
                said.clear();
                out.extend([line, "\n"]);
            }
        }
        out
    }

    fn selectors(&self) -> Option<&[Vec<Matcher>]> {
        self.0.as_ref().map(|picked| picked.selectors.as_slice()).filter(|selectors| !selectors.is_empty())
    }

    fn key(&self) -> Option<(Option<Sets>, &[String])> {
        self.0.as_ref().map(|picked| (picked.sets, picked.texts.as_slice()))
    }
}

fn of_name(matchers: &[Matcher]) -> impl Iterator<Item = &Matcher> {
    matchers.iter().filter(|matcher| matcher.label() == NAME)
}

impl PartialEq for Pick {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Pick {}

impl Hash for Pick {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(query: &str) -> Pick {
        Pick::parse(Some(query)).unwrap()
    }

    #[test]
    fn a_query_without_a_filter_asks_for_all() {
        for query in [None, Some(""), Some("labels=slim"), Some("collected=1")] {
            let all = Pick::parse(query).unwrap();
            assert_eq!(all, Pick::default(), "{query:?}");
            assert!(all.has(Set::Cpu) && all.may_show("x") && all.fits("x", "", "") && !all.chooses_series());
        }
    }

    #[test]
    fn sets_are_named_in_either_spelling_and_add_up() {
        let named = pick("collect[]=cpu&collect%5B%5D=memory&collect=tcp,udp");
        assert!([Set::Cpu, Set::Node("cpu"), Set::Memory, Set::Tcp, Set::Udp].iter().all(|set| named.has(*set)));
        assert!(!named.has(Set::Network) && !named.has(Set::Always));
        let more = pick("collect[]=default&collect[]=tcp");
        assert!(
            more.has(Set::Tcp) && more.has(Set::Always) && !more.has(Set::Udp) && pick("collect=all").has(Set::Udp)
        );
        let error = Pick::parse(Some("collect[]=memroy")).unwrap_err().to_string();
        assert_eq!(error, "collect[]: there is no set \"memroy\"; did you mean memory?");
    }

    #[test]
    fn one_of_the_selectors_must_fit_with_all_its_matchers() {
        let chosen = pick("match[]=a%7Bx%3D%221%22%7D&match[]=%7B__name__%3D~%22b.%2B%22,y!%3D%22%22%7D");
        assert!(chosen.may_show("a") && chosen.may_show("bc") && !chosen.may_show("b") && !chosen.may_show("ab"));
        assert!(chosen.fits("a", "x=\"1\",y=\"2\"", "") && chosen.fits("a", "", "x=\"1\""));
        assert!(!chosen.fits("a", "x=\"2\"", "") && !chosen.fits("a", "", ""));
        assert!(chosen.fits("bc", "y=\"any\"", "") && !chosen.fits("bc", "x=\"1\"", ""));
    }

    #[test]
    fn a_value_is_compared_as_it_was_before_it_was_escaped() {
        let chosen = pick("match[]={x%3D%22a%5C%22b%22}");
        assert!(chosen.fits("n", "x=\"a\\\"b\"", ""), "{chosen:?}");
    }

    #[test]
    fn equal_questions_are_equal_picks() {
        assert_eq!(pick("match[]=a&match[]=b&collect[]=cpu"), pick("collect=CPU&match[]=b&match[]=a&match[]=b"));
        assert_ne!(pick("match[]=a"), pick("match[]=b"));
        assert_ne!(pick("match[]=a"), pick("match[]=a&collect[]=cpu"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let said = |query: &str| Pick::parse(Some(query)).unwrap_err().to_string();
        assert!(
            said("match[]=%7Ba%3Db%7D").starts_with("match[]: the selector is wrong at byte 3"),
            "{}",
            said("match[]=%7Ba%3Db%7D")
        );
        assert!(said("match[]=").contains("metric's name"));
        assert!(said("collect[]=").starts_with("collect[]: there is no set \"\"; use "));
        let many: Vec<String> = (0..17).map(|n| format!("match[]=a{n}")).collect();
        assert_eq!(Pick::parse(Some(&many.join("&"))).unwrap_err(), PickError::TooMany);
        let regexes: Vec<String> = (0..9).map(|n| format!("match[]=a{{x%3D~%22{n}%22,y%3D~%22b%22}}")).collect();
        assert_eq!(Pick::parse(Some(&regexes.join("&"))).unwrap_err(), PickError::TooMany);
    }

    #[test]
    fn of_a_page_that_somebody_else_wrote_the_families_without_series_go_with_their_comments() {
        let text = "# HELP a A.\n# TYPE a counter\na_total{x=\"1 2\"} 1\na_total{x=\"2\"} 2\n\
                    # HELP b B.\n# TYPE b gauge\nb 3\n# HELP c C.\n# TYPE c gauge\n# UNIT c x\nc 4\n";
        let chosen = pick("match[]=a_total{x%3D%221%202%22}&match[]=c").filter_text(text.to_owned());
        assert_eq!(
            chosen,
            "# HELP a A.\n# TYPE a counter\na_total{x=\"1 2\"} 1\n# HELP c C.\n# TYPE c gauge\n# UNIT c x\nc 4\n"
        );
        assert_eq!(pick("match[]=nothing").filter_text(text.to_owned()), "");
        assert_eq!(Pick::default().filter_text(text.to_owned()), text);
    }
}
