//! OTLP over gRPC: one unary call for each message.
//!
//! In: messages that are encoded already. Out: [`Outcome`]s. The channel is opened anew after a failure, so that files and
//! addresses that changed are used. Next: `target.rs`.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint as TonicEndpoint};
use tonic::{Code, Request, Status};

use super::answer::{Failure, MOST_ANSWER_BYTES, Outcome, partial, told};
use super::http::{Address, Endpoint, connect, credentials, unreachable};
use crate::sample::export_stats::ExportResult;

/// How long a call may take, connecting included.
const WHOLE: Duration = Duration::from_secs(30);

const EXPORT: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");

/// A kept channel.
pub struct GrpcExport {
    endpoint: Endpoint,
    address: Address,
    grpc: Option<Grpc<Channel>>,
}

impl GrpcExport {
    /// No channel yet.
    #[must_use]
    pub const fn new(endpoint: Endpoint, address: Address) -> Self {
        Self { endpoint, address, grpc: None }
    }

    /// Sends one message.
    pub async fn export(&mut self, message: Bytes) -> Outcome {
        let outcome = match timeout(WHOLE, self.call(message)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let told = format!("no answer in {} s", WHOLE.as_secs());
                Outcome::Failed(Failure::silent(ExportResult::Timeout, told))
            }
        };
        if matches!(outcome, Outcome::Failed(_)) {
            self.grpc = None;
        }
        outcome
    }

    async fn call(&mut self, message: Bytes) -> Outcome {
        let headers = match credentials(&self.endpoint) {
            Ok(headers) => headers,
            Err(failure) => return Outcome::Failed(failure),
        };
        let grpc = match self.grpc.take() {
            Some(grpc) => grpc,
            None => match self.open().await {
                Ok(grpc) => grpc,
                Err(failure) => return Outcome::Failed(failure),
            },
        };
        let grpc = self.grpc.insert(grpc);
        if let Err(error) = grpc.ready().await {
            return Outcome::Failed(unreachable(&error));
        }
        let request = Request::from_parts(MetadataMap::from_headers(headers), tonic::Extensions::default(), message);
        match grpc.unary(request, EXPORT, Raw).await {
            Ok(answer) => partial(&answer.into_inner()),
            Err(status) => interpret(&status),
        }
    }

    async fn open(&self) -> Result<Grpc<Channel>, Failure> {
        let (endpoint, address) = (self.endpoint.clone(), self.address.clone());
        let connector = tower::service_fn(move |_| {
            let (endpoint, address) = (endpoint.clone(), address.clone());
            async move {
                let stream = connect(&endpoint, &address, b"h2").await;
                stream.map(TokioIo::new).map_err(|failure| std::io::Error::other(failure.told))
            }
        });
        // TLS is the connector's: tonic is told of none.
        let channel = TonicEndpoint::from_shared(format!("http://{}", self.address.authority))
            .map_err(|error| unreachable(&error))?
            .http2_max_header_list_size(16 * 1024)
            .buffer_size(4)
            .connect_with_connector(connector)
            .await
            .map_err(|error| unreachable(&error))?;
        Ok(Grpc::new(channel).max_decoding_message_size(MOST_ANSWER_BYTES))
    }
}

/// What a status means, by the table of the OTLP specification.
#[must_use]
pub fn interpret(status: &Status) -> Outcome {
    let code = u16::try_from(i32::from(status.code())).unwrap_or(u16::MAX);
    let told = told(code, &format!("{:?} {}", status.code(), status.message()));
    let retry_after = retry_delay(status.details());
    let failed = |result| Outcome::Failed(Failure { result, status: code, told: told.clone(), retry_after });
    match status.code() {
        // A connection that broke is told as unknown, with what broke it as its cause.
        Code::Unknown if std::error::Error::source(status).is_some() => failed(ExportResult::Unreachable),
        Code::Unavailable if std::error::Error::source(status).is_some() => failed(ExportResult::Unreachable),
        Code::Unavailable if retry_after.is_some() => failed(ExportResult::Busy),
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => failed(ExportResult::ServerError),
        Code::ResourceExhausted if retry_after.is_some() => failed(ExportResult::Busy),
        _ => Outcome::Refused { status: code, told },
    }
}

/// `google.rpc.Status`, as far as it is looked at.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<RpcDuration>,
}

#[derive(Clone, PartialEq, Message)]
struct RpcDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    Some(Duration::new(u64::try_from(delay.seconds).unwrap_or(0), u32::try_from(delay.nanos).unwrap_or(0)))
}

/// Bytes in, bytes out: both messages are read and written elsewhere.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_tried_again_where_the_specification_says_so() {
        let is_retried = |code| matches!(interpret(&Status::new(code, "")), Outcome::Failed(_));
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ] {
            assert!(is_retried(code), "{code:?}");
        }
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::Internal,
            Code::Unimplemented,
            Code::Unknown,
            Code::ResourceExhausted,
        ] {
            assert!(!is_retried(code), "{code:?}");
        }
    }

    #[test]
    fn an_exhausted_target_that_says_when_is_tried_again_then() {
        let info = RetryInfo { retry_delay: Some(RpcDuration { seconds: 7, nanos: 500_000_000 }) };
        let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value: info.encode_to_vec() };
        let details = RpcStatus { details: vec![any] }.encode_to_vec();
        let status = Status::with_details(Code::ResourceExhausted, "full", details.into());
        match interpret(&status) {
            Outcome::Failed(failure) => {
                assert_eq!(failure.retry_after, Some(Duration::from_millis(7_500)));
                assert_eq!((failure.result, failure.status), (ExportResult::Busy, 8));
                assert_eq!(failure.told, "8 ResourceExhausted full");
            }
            other => panic!("{other:?}"),
        }
    }
}
