@echo off
rem Runs ClusterRnn from a clone: finds a .NET 10 SDK, builds what has changed, starts the program.
rem     clusterrnn train configs/quickstart.yaml
rem     clusterrnn test [--long]      the tests; --long runs the long tier as well
rem CLUSTERRNN_SKIP_BUILD=1 starts what was built last, without looking.
setlocal EnableExtensions
set "root=%~dp0"
set "program=%root%src\ClusterRnn.Cli\bin\Release\net10.0\clusterrnn.dll"
set "dotnet="
for /f "delims=" %%D in ('where dotnet 2^>nul') do if not defined dotnet call :try "%%D"
if not defined dotnet if defined DOTNET_ROOT call :try "%DOTNET_ROOT%\dotnet.exe"
if not defined dotnet call :try "%USERPROFILE%\.dotnet\dotnet.exe"
if not defined dotnet call :try "%ProgramFiles%\dotnet\dotnet.exe"
if not defined dotnet (
    echo clusterrnn: needs a .NET 10 SDK; none was found on PATH, in DOTNET_ROOT or in the usual folders. 1>&2
    echo Get one:  winget install Microsoft.DotNet.SDK.10   or   https://dotnet.microsoft.com/download/dotnet/10.0 1>&2
    echo If it lies in a folder of its own, set DOTNET_ROOT to that folder. 1>&2
    exit /b 2
)
if not defined DOTNET_CLI_TELEMETRY_OPTOUT set DOTNET_CLI_TELEMETRY_OPTOUT=1
if not defined DOTNET_NOLOGO set DOTNET_NOLOGO=1

if /i "%~1"=="test" goto test
if "%CLUSTERRNN_SKIP_BUILD%"=="1" goto run
rem MSBuild's own up-to-date check decides what is compiled.
if not exist "%program%" echo clusterrnn: building (the first time takes about a minute) 1>&2
if not exist "%root%src\ClusterRnn.Cli\bin" mkdir "%root%src\ClusterRnn.Cli\bin"
set "log=%root%src\ClusterRnn.Cli\bin\build.log"
pushd "%root%"
"%dotnet%" build src\ClusterRnn.Cli -c Release -v quiet > "%log%" 2>&1
if errorlevel 1 (
    type "%log%" 1>&2
    echo clusterrnn: the build failed; its output is above and in %log% 1>&2
    popd
    exit /b 1
)
popd

:run
"%dotnet%" "%program%" %*
exit /b %errorlevel%

:test
set "rest=%*"
call set "rest=%%rest:*test=%%"
if /i "%~2"=="--long" (
    set CLUSTERRNN_LONG_TESTS=1
    call set "rest=%%rest:*--long=%%"
)
pushd "%root%"
"%dotnet%" test ClusterRnn.sln -c Release %rest%
set "code=%errorlevel%"
popd
exit /b %code%

:try
"%~1" --list-sdks 2>nul | findstr /b "10." >nul && set "dotnet=%~1"
exit /b 0
