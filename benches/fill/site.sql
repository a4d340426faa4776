-- A day of a site, always the same: sessions of some six events and up to an hour, of which a few go on
-- after midnight. Of a plain site everything but the path is much the same, as in an access log.
-- $day days since 1970, $first_team, $teams, $sessions of each team, $plain
insert into {events}
(
    uuid, event, team_id, distinct_id, person_id, session_id, timestamp, inserted_at, host, pathname,
    current_url, device_type, browser, os, viewport_width, viewport_height, referring_domain, utm_source,
    utm_medium, utm_campaign, utm_term, utm_content, gclid, gad_source, fbclid, country_code, city_name,
    region_code, region_name
)
select
    reinterpretAsUUID(bitShiftLeft(toUInt128(cityHash64(session, step, 'low')), 64) + cityHash64(session, step, 'high')),
    multiIf(step = 1 or kind < 60, '$pageview', kind < 85, '$autocapture', kind < 95, '$pageleave', 'signed up'),
    team,
    toString(person),
    reinterpretAsUUID(bitShiftLeft(toUInt128(cityHash64(person, team)), 64) + person),
    -- a version-7 UUID
    concat(substring(milliseconds, 1, 8), '-', substring(milliseconds, 9, 4), '-7', substring(random, 1, 3), '-8',
        substring(random, 4, 3), '-', substring(random, 5, 12)),
    toDateTime64(begun, 6, 'UTC') + toIntervalMicrosecond((step - 1) * 41000000 + cityHash64(session, step, 'time') % 40000000),
    toDateTime64(begun, 6, 'UTC') + toIntervalHour(1),
    if(session % 10 = 0, 'www.acme.test', 'acme.test'),
    if(step = 1 and session % 3 = 0, '/', concat('/', ['docs', 'blog', 'shop', 'help'][1 + page % 4], '/', toString(page))) as path,
    concat('https://acme.test', path),
    if(device % 3 = 0, 'Mobile', 'Desktop'),
    ['Chrome', 'Safari', 'Firefox', 'Chrome', 'Edge', 'Opera'][1 + device % if({plain:UInt8} = 1, 3, 6)],
    ['Windows', 'Mac OS X', 'Linux', 'Android', 'iOS'][1 + device % if({plain:UInt8} = 1, 2, 5)],
    if({plain:UInt8} = 1, 0, [1920, 1536, 1440, 1366, 1280, 390, 393, 412, 360, 768][1 + device % 10]),
    if({plain:UInt8} = 1, 0, [1080, 864, 900, 768, 720, 844, 852, 915, 800, 1024][1 + intDiv(device, 10) % 10]),
    if(referrer < 50, '$direct', concat('ref', toString(toUInt32(pow(referrer / 100, 2) * if({plain:UInt8} = 1, 5, 200))), '.test')),
    if(campaign < 15, ['google', 'newsletter', 'x'][1 + campaign % 3], ''),
    if(campaign < 15, ['cpc', 'email'][1 + campaign % 2], ''),
    if(campaign < 15, concat('campaign-', toString(session % 20)), ''),
    '',
    if(campaign < 5, toString(session % 3), ''),
    if(campaign < 4, hex(session), ''),
    if(campaign < 4, '1', ''),
    if(campaign = 5, hex(session), ''),
    concat('C', toString(city % 60)),
    if({plain:UInt8} = 1, '', concat('City ', toString(city))),
    if({plain:UInt8} = 1, '', concat('R', toString(city % 200))),
    if({plain:UInt8} = 1, '', concat('Region ', toString(city % 200)))
from
(
    select
        {first_team:Int64} + toInt64(number % {teams:UInt64}) as team,
        intDiv(number, {teams:UInt64}) as place,
        cityHash64({day:Int64}, team, place) as session,
        toUInt64({day:Int64} * 86400 + intDiv(place * 86400, {sessions:UInt64})) as begun,
        lower(leftPad(hex(begun * 1000 + session % 1000), 12, '0')) as milliseconds,
        lower(leftPad(hex(cityHash64(session, 'id')), 16, '0')) as random,
        cityHash64(session, 'person') % ({sessions:UInt64} * 3) as person,
        cityHash64(person, 'device') as device,
        cityHash64(session, 'referrer') % 100 as referrer,
        if({plain:UInt8} = 1, 99, cityHash64(session, 'campaign') % 100) as campaign,
        toUInt32(pow(cityHash64(session, 'city') % 1000003 / 1000003, 3) * if({plain:UInt8} = 1, 5, 1000)) as city,
        arrayJoin(range(1, 2 + least(toUInt32(-log(1 - session % 1000003 / 1000003) * 6.2), 59))) as step,
        cityHash64(session, step, 'kind') % 100 as kind,
        toUInt32(pow(cityHash64(session, step, 'page') % 1000003 / 1000003, 3) * if({plain:UInt8} = 1, 15, 2000)) as page
    from numbers({sessions:UInt64} * {teams:UInt64})
)
