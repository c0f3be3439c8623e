//! In which form the asker wants the answer.
//!
//! In: the `Accept` header. Out: the first form that is spoken here, by weight and order, as Kubernetes negotiates; or
//! nothing, which is 406. YAML is answered with JSON text: every JSON text is YAML 1.2. Next: [`super::metrics`].

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

/// What of it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The object itself.
    Whole,
    /// As `kubectl get` prints it; the version of `meta.k8s.io` that is asked for.
    Table(&'static str),
    /// Its metadata only.
    Partial(&'static str),
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) encoding: Encoding,
    pub(super) shape: Shape,
}

/// Names for the message of a 406.
pub(super) const SPOKEN: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The same where there is no protobuf.
pub(super) const SPOKEN_ELSEWHERE: &str = "application/json, application/yaml";

impl Form {
    pub(super) const JSON: Self = Self { encoding: Encoding::Json, shape: Shape::Whole };

    pub(super) fn content_type(self) -> &'static str {
        match self.encoding {
            Encoding::Json => super::answer::JSON,
            Encoding::Yaml => "application/yaml",
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    pub(super) fn watch_content_type(self) -> &'static str {
        match self.encoding {
            Encoding::Json | Encoding::Yaml => super::answer::JSON,
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }
}

/// One media range with its parameters.
#[derive(Debug)]
pub(super) struct Range<'a> {
    pub(super) media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f32,
}

impl<'a> Range<'a> {
    /// A parameter's value.
    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let weight = parameters.iter().find(|(key, _)| *key == "q").and_then(|(_, value)| value.parse().ok());
        Self { media, parameters, weight: weight.unwrap_or(1.0) }
    }
}

/// The accepted ranges, most wanted first. No header accepts everything.
pub(super) fn ranges(accept: Option<&str>) -> Vec<Range<'_>> {
    let text = accept.map(str::trim).filter(|text| !text.is_empty()).unwrap_or("*/*");
    // A header has at most some kilobytes, and no client names more than a handful.
    let mut ranges: Vec<_> = text.split(',').take(64).map(|range| Range::parse(range.trim())).collect();
    ranges.retain(|range| !range.media.is_empty() && range.weight > 0.0);
    ranges.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    ranges
}

/// The form of an object or a list of `metrics.k8s.io`.
pub(super) fn form(accept: Option<&str>) -> Option<Form> {
    ranges(accept).iter().find_map(form_of)
}

/// The form of what is spoken as JSON and as a table.
pub(super) fn json_or_table(accept: Option<&str>) -> Option<Form> {
    let spoken = |form: &Form| form.encoding != Encoding::Protobuf && !matches!(form.shape, Shape::Partial(_));
    ranges(accept).iter().filter_map(form_of).find(spoken)
}

/// The form of what is only spoken as JSON.
pub(super) fn json(accept: Option<&str>) -> Option<Form> {
    let plain = |range: &Range<'_>| match range.media {
        "application/json" | "*/*" | "application/*" | "text/*" => range.parameter("as").is_none(),
        "application/yaml" => range.parameter("as").is_none(),
        _ => false,
    };
    let range = ranges(accept).into_iter().find(plain)?;
    Some(if range.media == "application/yaml" { Form { encoding: Encoding::Yaml, ..Form::JSON } } else { Form::JSON })
}

fn form_of(range: &Range<'_>) -> Option<Form> {
    let encoding = match range.media {
        "application/json" | "*/*" | "application/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        "application/vnd.kubernetes.protobuf" => Encoding::Protobuf,
        _ => return None,
    };
    let Some(wanted) = range.parameter("as") else { return Some(Form { encoding, shape: Shape::Whole }) };
    if range.parameter("g") != Some("meta.k8s.io") || encoding == Encoding::Protobuf {
        return None;
    }
    let version = match range.parameter("v")? {
        "v1" => "v1",
        "v1beta1" => "v1beta1",
        _ => return None,
    };
    let shape = match wanted {
        "Table" => Shape::Table(version),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Shape::Partial(version),
        _ => return None,
    };
    Some(Form { encoding, shape })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_is_spoken_is_taken() {
        let table = Form { encoding: Encoding::Json, shape: Shape::Table("v1") };
        let protobuf = Form { encoding: Encoding::Protobuf, shape: Shape::Whole };
        let partial = Form { encoding: Encoding::Json, shape: Shape::Partial("v1") };
        for (accept, expected) in [
            (None, Some(Form::JSON)),
            (Some(""), Some(Form::JSON)),
            (Some("*/*"), Some(Form::JSON)),
            (Some("application/json, */*"), Some(Form::JSON)),
            (Some("application/vnd.kubernetes.protobuf, */*"), Some(protobuf)),
            (
                Some(
                    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                     application/json",
                ),
                Some(table),
            ),
            (
                Some(
                    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                     application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                ),
                Some(partial),
            ),
            (Some("application/json;q=0.5,application/vnd.kubernetes.protobuf;q=0.9"), Some(protobuf)),
            (Some("application/json;as=Table;v=v2;g=meta.k8s.io,application/json"), Some(Form::JSON)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ] {
            assert_eq!(form(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn what_is_only_spoken_as_json_is_not_promised_in_another_form() {
        assert_eq!(json(Some("application/vnd.kubernetes.protobuf, */*")), Some(Form::JSON));
        assert_eq!(json(Some("application/vnd.kubernetes.protobuf")), None);
        assert_eq!(json(Some("application/json;as=Table;v=v1;g=meta.k8s.io,application/json")), Some(Form::JSON));
    }
}
