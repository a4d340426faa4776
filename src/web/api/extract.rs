//! What a request brings, checked; what does not fit is told as a problem. 400 is what does not fit the
//! document, 422 what fits it and cannot be fulfilled.

use std::fmt;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::civil;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;

use super::{LIMIT, MOST_LISTED};
use crate::calendar::{Day, TeamId};
use crate::error::{Error, Result};
use crate::request::Asked;
use crate::web::must_be_few_days;
use crate::web::problem::Problem;

const SEE_DOCUMENT: &str = "/api/v1/openapi.json says what it takes";

pub fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail).hint(SEE_DOCUMENT)
}

/// The body, as JSON.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(malformed("the body is not said to be JSON")
                    .hint("send the header Content-Type: application/json"))
            }
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
                    .hint("max_body_bytes under [http] is the limit"),
            ),
            Err(rejection) => Err(malformed(format!(
                "the body is not as it should be: {}",
                rejection.body_text()
            ))),
        }
    }
}

/// The parameters of the query, each of them known.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::try_from_uri(&parts.uri).map_err(|rejection| {
            malformed(format!(
                "the query is not as it should be: {}",
                rejection.body_text()
            ))
        })?;
        Ok(Self(query.0))
    }
}

/// The parts of the path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|path| Self(path.0))
            .map_err(|rejection| malformed(rejection.body_text()))
    }
}

/// No parameters at all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A date, whether a day of it can be filled or not.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(value_type = String, format = Date, example = "2026-05-01")]
pub struct Date(civil::Date);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // `Date` parses longer forms too; only a plain date names a day.
        let date = (text.len() == 10).then(|| text.parse().ok()).flatten();
        date.map(Self).ok_or_else(|| {
            de::Error::custom(format!("{text:?} is no date: write it as YYYY-MM-DD"))
        })
    }
}

impl Date {
    /// # Errors
    ///
    /// [`crate::error::Class::Misuse`] for a date that no table can hold.
    pub fn day(self) -> Result<Day> {
        self.0
            .to_string()
            .parse()
            .map_err(|error: String| Error::misuse(error).hint("name days that have events"))
    }
}

/// A whole number, as JSON Schema has it: 7.0 is one.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(value_type = i64)]
pub struct Whole(pub i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
                i64::try_from(number).map(Whole).map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
                // Every number up to there is one that a float holds.
                const MOST: f64 = 9_007_199_254_740_992.0;
                if number.fract() == 0.0 && number.abs() <= MOST {
                    return Ok(Whole(number as i64));
                }
                Err(E::custom(format!("{number} is no whole number")))
            }
        }

        deserializer.deserialize_i64(Visitor)
    }
}

/// The id of a team, whether there is one or not.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(try_from = "Whole")]
#[schema(value_type = TeamId)]
pub struct Id(pub TeamId);

impl TryFrom<Whole> for Id {
    type Error = String;

    fn try_from(Whole(id): Whole) -> Result<Self, String> {
        id.to_string().parse().map(Self)
    }
}

/// How a range of days is asked for.
pub fn asked(days: Option<Whole>, start: Option<Date>, end: Option<Date>) -> Result<Asked> {
    if days.is_some() && (start.is_some() || end.is_some()) {
        return Err(Error::misuse("days do not go with date_start and date_end")
            .hint("send days for the latest ones, or date_start and date_end"));
    }
    let asked = Asked {
        days: days.map(|Whole(days)| days),
        date_start: start.map(Date::day).transpose()?,
        date_end: end.map(Date::day).transpose()?,
    };
    must_be_few_days(&asked)?;
    Ok(asked)
}

/// How many are to be listed.
pub fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked {
        None => Ok(LIMIT),
        Some(limit) if (1..=MOST_LISTED).contains(&limit) => Ok(limit),
        Some(limit) => Err(malformed(format!(
            "limit {limit} is out of range: 1 to {MOST_LISTED}"
        ))),
    }
}
